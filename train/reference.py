"""`telltale reference --model`: build `histogram.prom` for any fitted model from a file of its training data."""

from __future__ import annotations

import math
import os
import pickle
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from monitor.clock import Clock, SystemClock, iso
from monitor.columns.canonical import Block, canonical, column_name
from monitor.columns.column import Column, Kind, clean_text
from monitor.config.settings import ModelConfig
from monitor.errors import DataError, ModelError, TelltaleError
from monitor.models import facts
from monitor.models.asking import ROWS, match_inputs
from monitor.models.load import Loaded, first_line, load
from monitor.models.model import Model, check_proba, class_names, join, open_model
from monitor.outcomes.baseline import Baseline
from monitor.reference import build
from monitor.reference.file import Reference, ReferenceInfo
from monitor.reference.profile import ColumnProfile, Decision
from monitor.tables.parse import BadRows
from monitor.tables.read import Progress, Reader, open_reader
from monitor.tables.warehouse import TableColumns
from monitor.warehouse.engine import connected, readable, rows_of
from train.fit import library_versions
from train.holdout import baseline_from_file
from train.selection import Aim, Request, Selection, declared_kinds, list_names, select


@dataclass(frozen=True)
class Made:
    """What was built: the reference, a decision per column, columns left out with the reason, and bad rows.

    `bad_holdout`: those of the held-out rows.
    """

    reference: Reference
    decisions: tuple[Decision, ...]
    left_out: tuple[tuple[str, str], ...]
    bad: BadRows
    model: Loaded | None
    bad_holdout: BadRows


def make_reference(request: Request, clock: Clock | None = None, *, progress: bool = False) -> Made:
    """Read, decide, count, and write the file. Raises DataError or ModelError; nothing is written then.

    Raises TelltaleError where the file cannot be written.
    """
    _check_output(request.output, request.force)
    _check_holdout(request)
    for name, file in (("--data", request.data), ("--model", request.model), ("--holdout", request.holdout)):
        if file and file.exists() and request.output.exists() and request.output.samefile(file):
            raise DataError(f"{request.output}: is the file of {name}; --output FILE writes another")
    model = load(request.model) if request.model else None
    if model and request.proba:
        check_proba(model.estimator, "--proba")
    bad = BadRows(str(request.data), request.skip_bad_rows)
    if request.database is not None:
        selection, counted = _from_table(request, request.database, progress)
    else:
        reader = open_reader(request.data, bad)
        selection = select(reader.names, request, model)
        kinds = {**reader.declared, **declared_kinds(request, selection.features, model)}
        counted = _Making(reader, selection, kinds, request, model, progress).read()
    edges = "; edges at approximate percentiles" if request.approximate else ""
    info = ReferenceInfo(
        model_sha256=model.sha256 if model else "",
        created=iso(int((clock or SystemClock()).time())),
        source=clean_text(f"{request.data.name}: features and predictions of all its rows{edges}"),
        versions=library_versions(),
    )
    reference = build.assemble(counted, info)
    bad_holdout = BadRows(str(request.holdout), request.skip_bad_rows)
    if request.holdout:
        reference = replace(reference, baseline=_baseline(reference, request, bad_holdout, progress))
    try:
        reference.save(request.output)
    except OSError as error:
        raise TelltaleError(f"{request.output}: cannot be written: {error.strerror or error}") from error
    return Made(reference, counted, selection.left_out, bad, model, bad_holdout)


def _from_table(request: Request, url: str, shown: bool) -> tuple[Selection, tuple[Decision, ...]]:
    """Have an engine count the columns of its table. Raises DataError or SourceError."""
    with connected(url) as connection:
        rows = rows_of(connection, str(request.data))
        selection = select(rows.columns, request, None)
        kinds, limits = declared_kinds(request, selection.features, None), request.limits
        rows = readable(connection, rows, (*selection.features, *request.predictions))
        table = TableColumns(connection.to_pyarrow, rows, connection.name, request.approximate)
        wanted = tqdm((*selection.features, *request.predictions), desc="Asking", unit=" columns", disable=not shown)
        profiles = [table.profile(name, kinds.get(name), limits.bins) for name in wanted]
        width = len(selection.features)
        decisions = build.choose(profiles[:width], "feature", kinds, limits)
        decisions += build.choose(profiles[width:], "prediction", kinds, limits)
        pairs = zip(decisions, profiles, strict=True)
        return selection, tuple(table.count(decision, facts) for decision, facts in pairs)


def _check_holdout(request: Request) -> None:
    if request.aim != Aim() and not request.holdout:
        raise DataError(
            "--positive, --interval, --quantile, --value and --score say how held-out rows are judged, and so need "
            "--holdout FILE"
        )
    if not request.holdout:
        return
    if request.target is None:
        raise DataError("--holdout: --target COLUMN names the column with what came true")
    if request.holdout.exists() and request.data.exists():
        same = request.holdout.samefile(request.data) or request.holdout.read_bytes() == request.data.read_bytes()
        if same:
            raise DataError(
                f"--holdout {request.holdout} has the same rows as --data. A model looks better than it is on rows it "
                "was trained on: give other rows"
            )


def _baseline(reference: Reference, request: Request, bad: BadRows, shown: bool) -> Baseline:
    predict = None
    if request.model:
        predict = open_model(ModelConfig(path=str(request.model), proba=request.proba), reference).answer_columns

    def progress(positions: Sequence[int]) -> Iterator[int]:
        yield from tqdm(positions, desc="Importance", unit=" columns", disable=not shown, leave=False)

    assert request.holdout is not None
    assert request.target is not None
    return baseline_from_file(
        *(reference, request.holdout, request.target, request.predictions, predict, bad),
        aim=request.aim,
        shown=progress,
    )


def _check_output(output: Path, force: bool) -> None:
    """Say before hours of reading that the file cannot be written, or is another's."""
    if output.exists() and not output.is_dir() and not force:
        raise DataError(f"{output}: exists; --force overwrites it, --output FILE writes another")
    if not output.parent.is_dir():
        raise DataError(f"{output}: there is no folder {output.parent}")
    if output.is_dir():
        raise DataError(f"{output}: is a folder; --output takes the name of a file")
    if not os.access(output.parent, os.W_OK):
        raise TelltaleError(f"{output}: the folder {output.parent} cannot be written to")


@dataclass
class _Making:
    """Both passes over the features and over the predictions. `kinds`: those known of columns; `shown`: the bars."""

    reader: Reader
    selection: Selection
    kinds: dict[str, Kind]
    request: Request
    model: Loaded | None
    shown: bool

    def read(self) -> tuple[Decision, ...]:
        """Read the file, once more if the first pass shows that some columns must be read in another way."""
        reader, wanted = self.reader, (*self.selection.features, *self.request.predictions)
        while True:
            with Spool(wanted, self.request.output.parent) as table:
                with self._bar("Reading", reader.path.stat().st_size, "B") as bar:
                    reader.progress = bar.update
                    profiles = build.profile(wanted, _kept(reader.chunks(wanted, self.kinds), table))
                if not table.rows:
                    raise DataError(f"{self.request.data}: holds no row that can be used")
                numeric = _mixed(reader, profiles, self.kinds)
                texts = reader.torn() - numeric.keys()
                if not numeric and not texts:
                    return self._count(table, profiles)
                # Again without the rows in which numbers are texts (--skip-bad-rows), and with the numbers of a column
                # of texts as they are written.
                self.kinds.update(numeric)
                reader.written |= texts
                reader.bad.count, reader.bad.examples = 0, []

    def _bar(self, what: str, total: int, unit: str) -> tqdm[Any]:
        return tqdm(total=total, unit=unit, unit_scale=True, desc=what, disable=not self.shown, leave=False)

    def _count(self, table: Spool, profiles: list[ColumnProfile]) -> tuple[Decision, ...]:
        width, limits = len(self.selection.features), self.request.limits
        build.find_quantiles(table, profiles, self.kinds, limits)
        decisions = build.choose(profiles[:width], "feature", self.kinds, limits)
        decisions += build.choose(profiles[width:], "prediction", self.kinds, limits)
        with self._bar("Counting", table.rows, " rows") as bar:
            counted = build.tally(_counted(table.chunks(), bar.update), decisions)
        if self.model is None:
            return counted
        features = counted[:width]
        with Spool((), self.request.output.parent) as answers:
            with self._bar("Predicting", table.rows, " rows") as bar:
                columns = [decision.column for decision in features]
                # Texts in each block of a column that holds texts in any of them.
                texts = [profile.texts for profile in profiles]
                pairs = (zip(chunk, texts, strict=True) for chunk in table.chunks())
                written = ([_as_texts(block) if some else block for block, some in chunk] for chunk in pairs)
                for chunk in _counted(written, bar.update):
                    if not answers.rows:
                        asked = join_to_data(self.model, columns, chunk, self.request.data)
                    names, blocks = predict(asked, self.model, chunk, self.request.proba)
                    answers.names = tuple(map(column_name, names))
                    answers.append(blocks)
            return features + self._answered(answers, self.model)

    def _answered(self, answers: Spool, model: Loaded) -> tuple[Decision, ...]:
        """All passes over what the model answered."""
        names = answers.names
        for name, kind in self.kinds.items():
            if name not in (*self.selection.features, *names):
                raise DataError(f"--{kind} {name}: the model answers no such column; it answers {list_names(names)}")
        usual = facts.prediction_kind(model.estimator)
        own: dict[str, Kind | None] = {
            name: self.kinds.get(name, "numeric" if self.request.proba and position else usual)
            for position, name in enumerate(names)
        }
        return build.summarise(answers, "prediction", own, self.request.limits, facts.labels(model.estimator))


def _kept(chunks: Iterable[build.Chunk], spool: Spool) -> Iterator[build.Chunk]:
    for chunk in chunks:
        spool.append(chunk)
        yield chunk


def _counted(chunks: Iterable[build.Chunk], progress: Progress) -> Iterator[build.Chunk]:
    for chunk in chunks:
        yield chunk
        progress(len(chunk[0]))


def join_to_data(model: Loaded, columns: Sequence[Column], chunk: build.Chunk, data: Path) -> Model:
    """Find the form in which a model answers, by asking it rows of the data. Raises ModelError."""
    count = len(chunk[0])
    chosen = np.unique(np.linspace(0, count - 1, min(count, ROWS)).astype(int)).tolist()
    rows = [[_item(block[at]) for block in chunk] for at in chosen]
    try:
        return join(model, columns, match_inputs(model, columns, str(data)), rows, True, str(data))[0]
    except ModelError as error:
        odd = _odd_column(columns, model, chunk)
        raise ModelError(f"{error}{odd}") from error


def _odd_column(columns: Sequence[Column], model: Loaded, chunk: build.Chunk) -> str:
    """Name a column whose values the model was not fitted with: what it raises names none."""
    names = facts.inputs(model.estimator) or [column.name for column in columns]
    for name, known in facts.knowledge(model.estimator, names).items():
        texts = {canonical(value) for value in known.values}
        block = next((block for column, block in zip(columns, chunk, strict=True) if column.name == name), ())
        wrong = next((value for value in map(_item, block) if canonical(value) not in texts), None)
        if texts and known.dtype != "onnx" and wrong is not None:
            return f"; column {name!r} holds {wrong!r}, which it was not fitted with"
    return ""


def _item(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def predict(model: Model, loaded: Loaded, chunk: build.Chunk, proba: bool) -> tuple[tuple[str, ...], build.Chunk]:
    """Answers for one chunk: names and blocks, one for each output, and with `proba` for the probability of each class.

    Raises ModelError.
    """
    path = loaded.path
    try:
        answers, shares = model.raw(chunk, proba)
    except Exception as error:
        raise ModelError(
            f"{path}: the model cannot predict these rows: {type(error).__name__}: {first_line(error)[:200]}"
            f"{_odd_column(model.features, loaded, chunk)}"
        ) from error
    try:
        table = build.as_table(answers, None, "prediction", kind=facts.prediction_kind(model.estimator))
    except DataError as error:
        raise ModelError(f"{path}: what the model answers is no table: {error}") from error
    if len(table.columns[0]) != len(chunk[0]):
        raise ModelError(f"{path}: the model answers {len(table.columns[0])} rows for {len(chunk[0])}")
    names = table.names if len(table.columns) > 1 else ("prediction",)
    if shares is None:
        return names, table.columns
    shape = f"--proba: {path} answers probabilities of shape {shares.shape}; leave it out"
    if len(table.columns) > 1 or shares.ndim != 2 or len(shares) != len(chunk[0]):
        raise ModelError(shape)
    if not model.classes:
        try:
            model.classes = tuple(class_names(model.estimator, shares, np.asarray(answers).ravel().tolist()))
        except ModelError as error:
            raise ModelError(f"--proba: {path}: {error}; leave it out") from None
    if shares.shape[1] != len(model.classes):
        raise ModelError(shape)
    return (*names, *(f"proba_{label}" for label in model.classes)), (*table.columns, *shares.T)


def _as_texts(block: Block) -> Block:
    """Numbers of a column that holds texts elsewhere, as texts."""
    if not isinstance(block, np.ndarray):
        return block
    return [None if math.isnan(value) else canonical(value) for value in block.tolist()]


def _mixed(reader: Reader, profiles: Sequence[ColumnProfile], kinds: Mapping[str, Kind]) -> dict[str, Kind]:
    """Columns of numbers that hold a few texts: an error, or numeric from now on where bad rows are skipped."""
    again: dict[str, Kind] = {}
    for column, (name, cells) in zip(profiles, reader.tallies.items(), strict=True):
        if name in kinds or cells.first_text is None or not cells.mixed(column.whole):
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


#: Bytes kept in memory before the disk is used: about 800,000 rows of 20 numbers.
MEMORY = 2**27


class Spool(AbstractContextManager["Spool"]):
    """A table that is written once, chunk by chunk, and then read as often as asked.

    The file has no name on disk: a crash leaves nothing behind. It is in `folder`: the usual place for temporary
    files is often memory.
    """

    def __init__(self, names: Sequence[str], folder: Path, memory: int = MEMORY) -> None:
        self.names, self.rows = tuple(names), 0
        self._file = tempfile.SpooledTemporaryFile(memory, dir=str(folder))  # noqa: SIM115  # closed by __exit__
        self._places: list[list[int]] = []

    def append(self, chunk: build.Chunk) -> None:
        """Keep one more chunk. Raises DataError if the disk is full."""
        places = []
        try:
            for block in chunk:
                places.append(self._file.tell())
                pickle.dump(block, self._file, protocol=5)
        except OSError as error:
            raise DataError(f"no room for a temporary copy of the data: {error.strerror or error}") from error
        self._places.append(places)
        self.rows += len(chunk[0]) if chunk else 0

    def chunks(self, positions: Sequence[int] | None = None) -> Iterator[build.Chunk]:
        """All chunks, in order: every column, or those at some positions."""
        for places in self._places:
            yield [self._load(place) for place in (places if positions is None else map(places.__getitem__, positions))]

    def _load(self, place: int) -> Block:
        if self._file.tell() != place:  # a seek throws away what was read ahead
            self._file.seek(place)
        block: Block = pickle.load(self._file)  # noqa: S301  # written by this process, into a file without a name
        return block

    def __exit__(self, *_: object) -> None:
        self._file.close()
