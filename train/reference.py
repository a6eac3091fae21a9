"""`python -m train reference`: build `histogram.prom` for any fitted model from a file of its training data."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from monitor.clock import Clock, SystemClock, iso
from monitor.columns.column import Kind, clean_text
from monitor.errors import DataError, TelltaleError
from monitor.reference.build import Chunk, Summary, assemble, choose, find_quantiles, profile, tally
from monitor.reference.file import Reference, ReferenceInfo
from monitor.reference.profile import ColumnProfile, Decision
from monitor.tables.parse import BadRows
from monitor.tables.read import Progress, Reader, open_reader
from train.fit import library_versions
from train.model import Model, as_texts, load_model
from train.selection import Request, Selection, declared_kinds, list_names, select
from train.spool import Spool


@dataclass(frozen=True)
class Made:
    """What was built: the reference, a decision per column, columns left out with the reason, and bad rows."""

    reference: Reference
    decisions: tuple[Decision, ...]
    left_out: tuple[tuple[str, str], ...]
    bad: BadRows
    model: Model | None

    @property
    def answers(self) -> list[str]:
        """Names of the prediction columns."""
        return [column.name for column in self.reference.schema.predictions]


def make_reference(request: Request, clock: Clock | None = None, *, progress: bool = False) -> Made:
    """Read, decide, count, and write the file. Raises DataError or ModelError; nothing is written then.

    Raises TelltaleError where the file cannot be written.
    """
    model = load_model(request.model) if request.model else None
    if model and request.proba:
        model.check_proba()
    _check_output(request.output)
    bad = BadRows(str(request.data), request.skip_bad_rows)
    reader = open_reader(request.data, bad)
    selection = select(reader.names, request, model)
    kinds = declared_kinds(request, selection.features)
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
        raise TelltaleError(f"{request.output}: cannot be written: {error.strerror or error}") from error
    return Made(reference, decisions, selection.left_out, bad, model)


def _check_output(output: Path) -> None:
    """Say before hours of reading that the file cannot be written."""
    if not output.parent.is_dir():
        raise DataError(f"{output}: there is no folder {output.parent}")
    if output.is_dir():
        raise DataError(f"{output}: is a folder; --output takes the name of a file")
    if not os.access(output.parent, os.W_OK):
        raise TelltaleError(f"{output}: the folder {output.parent} cannot be written to")


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
    wanted = (*selection.features, *request.predictions)
    while True:
        with Spool(wanted, folder) as table:
            with _bar(reader, progress) as bar:
                reader.progress = bar.update
                profiles = profile(wanted, _kept(reader.chunks(wanted, kinds), table))
            if not table.rows:
                raise DataError(f"{request.data}: holds no row that can be used")
            again = _mixed(reader, profiles, kinds)
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
    cleaned: dict[str, Kind | None] = {clean_text(name): kind for name, kind in kinds.items()}
    find_quantiles(table, profiles, cleaned, request.limits)
    decisions = choose(profiles[:width], "feature", cleaned, request.limits)
    with _rows_bar(table, progress) as bar:
        chunks = _counted(table.chunks(), bar.update)
        if model is None:
            chosen = choose(profiles[width:], "prediction", cleaned, request.limits)
            both = tally(chunks, decisions + chosen, profiles)
            return both.part(0, width), both.part(width, len(profiles))
        with Spool((), request.output.parent) as answers:
            texts = [bool(facts.texts) for facts in profiles]
            categories = [decision.column.categories for decision in decisions]
            asked = _predicted(chunks, selection.features, texts, categories, model, request.proba, answers)
            return tally(asked, decisions, profiles), _summary_of(answers, selection, kinds, request, model)


def _summary_of(
    answers: Spool, selection: Selection, kinds: Mapping[str, Kind], request: Request, model: Model
) -> Summary:
    """All passes over what the model answered."""
    names = [clean_text(name) for name in answers.names]
    for name, kind in kinds.items():
        if name not in (*selection.features, *names):
            raise DataError(f"--{kind} {name}: the model answers no such column; it answers {list_names(names)}")
    own: dict[str, Kind | None] = {
        name: kinds.get(name, "numeric" if request.proba and position else model.prediction_kind)
        for position, name in enumerate(names)
    }
    profiles = profile(names, answers.chunks())
    find_quantiles(answers, profiles, own, request.limits)
    chosen = choose(profiles, "prediction", own, request.limits, model.labels)
    return tally(answers.chunks(), chosen, profiles)


def _kept(chunks: Iterable[Chunk], spool: Spool) -> Iterator[Chunk]:
    for chunk in chunks:
        spool.append(chunk)
        yield chunk


def _counted(chunks: Iterable[Chunk], progress: Progress) -> Iterator[Chunk]:
    for chunk in chunks:
        yield chunk
        progress(len(chunk[0]))


def _predicted(
    chunks: Iterable[Chunk],
    names: Sequence[str],
    texts: Sequence[bool],
    categories: Sequence[Sequence[str]],
    model: Model,
    proba: bool,
    answers: Spool,
) -> Iterator[Chunk]:
    """Pass chunks on, and keep what the model answers for each."""
    for chunk in chunks:
        rows = [as_texts(block) if text else block for block, text in zip(chunk, texts, strict=True)]
        answers.names, blocks = model.predict(names, rows, proba, categories)
        answers.append(blocks)
        yield chunk


def _mixed(reader: Reader, profiles: Sequence[ColumnProfile], kinds: Mapping[str, Kind]) -> dict[str, Kind]:
    """Columns of numbers that hold a few texts: an error, or numeric from now on where bad rows are skipped."""
    again: dict[str, Kind] = {}
    for facts, (name, cells) in zip(profiles, reader.tallies.items(), strict=True):
        if name in kinds or cells.first_text is None or not cells.mixed(facts.whole):
            continue
        line, cell = cells.first_text
        if not reader.bad.skip:
            raise DataError(
                f"{reader.path}, line {line}: column {name!r} holds {cell[:40]!r}, but {cells.numbers:,} of its "
                f"{cells.numbers + cells.texts:,} values are numbers; --skip-bad-rows leaves the rows with other "
                f"values out, --categorical {name} counts all values as categories"
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
        leave=False,
    )


def _rows_bar(table: Spool, shown: bool) -> tqdm[Any]:
    return tqdm(
        total=table.rows,
        unit=" rows",
        unit_scale=True,
        desc="Counting",
        disable=not shown,
        leave=False,
    )
