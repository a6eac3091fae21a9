"""`python -m train reference`: build `histogram.prom` for any fitted model from a file of its training data."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from monitor.clock import Clock, SystemClock, iso
from monitor.errors import DataError
from monitor.window.build import Chunk, Summary, assemble, choose, profile, tally
from monitor.window.cells import BadRows
from monitor.window.columns import Kind, clean_text
from monitor.window.profile import ColumnProfile, Decision
from monitor.window.read import Progress, Reader, open_reader
from monitor.window.reference import Reference, ReferenceInfo
from train.fit import library_versions
from train.model import Model, as_texts, load_model
from train.selection import Request, Selection, declared_kinds, select
from train.spool import Spool


@dataclass(frozen=True)
class Made:
    """What was built: the reference, a decision per column, columns left out with the reason, and bad rows."""

    reference: Reference
    decisions: tuple[Decision, ...]
    left_out: tuple[tuple[str, str], ...]
    bad: BadRows
    model: Model | None


def make_reference(request: Request, clock: Clock | None = None, *, progress: bool = False) -> Made:
    """Read, decide, count, and write the file. Raises DataError or ModelError; nothing is written then."""
    model = load_model(request.model) if request.model else None
    if not request.output.parent.is_dir():
        raise DataError(f"{request.output}: there is no folder {request.output.parent}")
    bad = BadRows(str(request.data), request.skip_bad_rows)
    reader = open_reader(request.data, bad)
    selection = select(reader.names, request, model)
    kinds = declared_kinds(request, (*selection.features, request.prediction or "prediction"))
    features, predictions = _summaries(reader, selection, kinds, request, model, progress)
    info = ReferenceInfo(
        model_sha256=model.sha256 if model else "",
        created=iso(int((clock or SystemClock()).time())),
        source=clean_text(f"{request.data.name}: features and predictions of all its rows"),
        versions=library_versions(),
    )
    reference, decisions = assemble(features, predictions, info)
    try:
        reference.save(request.output)
    except OSError as error:
        raise DataError(f"{request.output}: cannot be written: {error.strerror or error}") from error
    return Made(reference, decisions, selection.left_out, bad, model)


def _summaries(
    reader: Reader,
    selection: Selection,
    kinds: dict[str, Kind],
    request: Request,
    model: Model | None,
    progress: bool,
) -> tuple[Summary, Summary]:
    """Both passes over the features and over the predictions."""
    folder = request.output.parent
    wanted = (*selection.features, *([request.prediction] if request.prediction else []))
    while True:
        with Spool(wanted, folder) as table:
            with _bar(reader, progress) as bar:
                reader.progress = bar.update
                profiles = profile(wanted, _kept(reader.chunks(wanted, kinds), table))
            if not table.rows:
                raise DataError(f"{request.data}: holds no row that can be used")
            again = _mixed(reader, kinds)
            if again:
                # Only with --skip-bad-rows: the file is read once more, without the rows in which these are texts.
                kinds = {**kinds, **again}
                reader.bad.count, reader.bad.examples = 0, []
                continue
            return _second_pass(table, profiles, selection, kinds, request, model, progress)


def _second_pass(
    table: Spool,
    profiles: list[ColumnProfile],
    selection: Selection,
    kinds: Mapping[str, Kind],
    request: Request,
    model: Model | None,
    progress: bool,
) -> tuple[Summary, Summary]:
    width = len(selection.features)
    cleaned = {clean_text(name): kind for name, kind in kinds.items()}
    decisions = choose(profiles[:width], "feature", cleaned, request.limits)
    with _rows_bar(table, progress) as bar:
        if model is None:
            chosen = choose(profiles[width:], "prediction", cleaned, request.limits)
            both = tally(_counted(table.chunks(), bar.update), decisions + chosen, profiles)
            return both.part(0, width), both.part(width, width + 1)
        with Spool(("prediction",), request.output.parent) as answers:
            texts = [bool(facts.texts) for facts in profiles]
            chunks = _predicted(_counted(table.chunks(), bar.update), selection.features, texts, model, answers)
            features = tally(chunks, decisions, profiles)
            predicted = profile(answers.names, answers.chunks())
            chosen = choose(
                predicted,
                "prediction",
                {name: kinds.get("prediction", model.prediction_kind) for name in answers.names},
                request.limits,
                model.labels,
            )
            return features, tally(answers.chunks(), chosen, predicted)


def _kept(chunks: Iterable[Chunk], spool: Spool) -> Iterator[Chunk]:
    for chunk in chunks:
        spool.append(chunk)
        yield chunk


def _counted(chunks: Iterable[Chunk], progress: Progress) -> Iterator[Chunk]:
    for chunk in chunks:
        yield chunk
        progress(len(chunk[0]))


def _predicted(
    chunks: Iterable[Chunk], names: Sequence[str], texts: Sequence[bool], model: Model, answers: Spool
) -> Iterator[Chunk]:
    """Pass chunks on, and keep what the model answers for each."""
    for chunk in chunks:
        rows = [as_texts(block) if text else block for block, text in zip(chunk, texts, strict=True)]
        answers.names, blocks = model.predict(names, rows)
        answers.append(blocks)
        yield chunk


def _mixed(reader: Reader, kinds: Mapping[str, Kind]) -> dict[str, Kind]:
    """Columns of numbers that hold a few texts: an error, or numeric from now on where bad rows are skipped."""
    again: dict[str, Kind] = {}
    for name, cells in reader.tallies.items():
        if name in kinds or not cells.mixed or cells.first_text is None:
            continue
        line, cell = cells.first_text
        if not reader.bad.skip:
            raise DataError(
                f"{reader.path}, line {line}: column {name!r} holds {cell[:40]!r}, but {cells.numbers:,} of its "
                f"values are numbers and {cells.texts:,} are not; --skip-bad-rows leaves such rows out, "
                f"--categorical {name} counts all values as categories"
            )
        again[name] = "numeric"
    return again


def _bar(reader: Reader, shown: bool) -> tqdm[Any]:
    return tqdm(
        total=reader.path.stat().st_size,
        unit="B",
        unit_scale=True,
        desc="Reading",
        disable=not shown,
        mininterval=_seldom(),
        leave=False,
    )


def _rows_bar(table: Spool, shown: bool) -> tqdm[Any]:
    return tqdm(
        total=table.rows,
        unit=" rows",
        unit_scale=True,
        desc="Counting",
        disable=not shown,
        mininterval=_seldom(),
        leave=False,
    )


def _seldom() -> float:
    return 0.1 if sys.stderr.isatty() else 5.0
