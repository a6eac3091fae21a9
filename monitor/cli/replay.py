"""`replay`: recorded data through the real path, into a data folder, with its own timestamps."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tqdm.contrib.logging import logging_redirect_tqdm

from monitor import words
from monitor.backtest.propose import propose, propose_settings
from monitor.backtest.replay import (
    OutcomeColumn,
    Predict,
    Recording,
    deliver,
    prediction_columns,
    read_recording,
    replay,
    steps,
)
from monitor.capture.encode import Encoder
from monitor.capture.names import UnseenNames, names_file
from monitor.cli.command import Answer, bar, command, length_option, option
from monitor.clock import HOUR, Clock, ManualClock, SystemClock, iso
from monitor.columns.canonical import Block, column_name
from monitor.config.load import Config
from monitor.config.settings import DriftConfig, SourceConfig
from monitor.errors import ConfigError, DataError, InputError, StoppedError
from monitor.models.model import open_model
from monitor.reference.file import Reference
from monitor.runtime import Runtime
from monitor.store.file.database import connect_read_only
from monitor.store.file.folder import DataFolder
from monitor.store.records import history
from monitor.tables.parse import BadRows
from monitor.tables.read import open_reader

#: How long `--notify` waits for the receivers, in seconds.
PATIENCE = 60.0

#: Seconds of a replay from which its whole time is estimated, and from which left time on that is shown.
MEASURED, WORTH_TELLING = 1.0, 5.0


@command(
    "replay",
    "Feed recorded data through the monitor with its own timestamps.",
    option("file", type=Path, metavar="FILE", help="CSV, TSV, JSON lines or Parquet, with column names"),
    option("--time", type=column_name, required=True, metavar="COLUMN", help="column with each prediction's time"),
    option("--time-format", default="", metavar="FORMAT", help="how it is written, as for strptime"),
    option(
        "--prediction",
        type=column_name,
        action="append",
        default=[],
        metavar="COLUMN",
        help="column with the predictions (default: named as in the reference); once for each of several",
    ),
    option("--outcome", type=column_name, metavar="COLUMN", help="column with what came true, for performance"),
    option(
        "--outcome-time", type=column_name, metavar="COLUMN", help="column with the time when each outcome became known"
    ),
    length_option(
        "--delay", default=0.0, help="how long after that time (without one: after the prediction) the outcome arrived"
    ),
    option("--model-file", metavar="FILE", help="let this model work the predictions out instead"),
    length_option("--every", help="evaluate this often (default: [drift] every)"),
    option("--skip-bad-rows", action="store_true", help="leave out rows that cannot be used"),
    option("--notify", action="store_true", help="tell the receivers too, at the end (default: the log)"),
    option("--verbose", action="store_true", help="print each alert's message on the way"),
    one=True,
)
def run(options: argparse.Namespace, config: Config) -> Answer:
    config = settings(options, config)
    reference = Reference.load(config.model.reference)
    predict, version = predictor(config, reference) if options.model_file else (None, config.model.version)
    version = version or reference.info.model_sha256[:12] or reference.identity[:12]
    bad = BadRows(str(options.file), options.skip_bad_rows)
    size = options.file.stat().st_size if options.file.exists() else 0
    with tempfile.TemporaryFile(prefix="telltale-replay-") as scratch:
        with bar(options, "Reading", size, "B") as progress:
            reader = open_reader(options.file, bad, progress.update)
            if options.outcome and config.outcomes is None:
                raise ConfigError("--outcome: the settings need the section [outcomes]")
            for name in ("outcome", "outcome_time"):
                if (given := getattr(options, name)) and given not in reader.names:
                    raise DataError(f"{options.file}: has no column {given!r} for --{name.replace('_', '-')}")
            columns = prediction_columns(
                reader, reference.schema, options.prediction, options.time, predict is not None
            )
            folder = DataFolder(Path(config.data.path))
            folder.open()
            try:
                encoder = prepare(folder, reference, config.data.keep_unseen)
                form = options.time, options.time_format
                outcomes = OutcomeColumn(options.outcome, reference.target, options.delay, options.outcome_time or "")
                recording = read_recording(
                    reader, encoder, scratch, *form, columns, predict, outcomes if options.outcome else None
                )
                refuse_overlap(folder, recording)
            finally:
                folder.close()
        clock = ManualClock(recording.times[0] / 1e9)

        def open_runtime(base: float, rounds: float) -> Runtime:
            window = dataclasses.replace(config.window, base=base)
            runtime = Runtime.of_one(
                dataclasses.replace(config, window=window, source=SourceConfig()), reference, version, clock
            )
            runtime.maintain_every = rounds
            return runtime

        left = 0
        with alerts_logged(options.verbose):
            with bar(options, "Replaying", len(recording.times), " rows") as progress, logging_redirect_tqdm():
                recordings = {config.model.name: recording}
                pace = Pace(progress, sum(1 for _ in steps(recording.times, config)), config.data.path, SystemClock())
                try:
                    result = replay(open_runtime, clock, config, recordings, pace.update)
                except KeyboardInterrupt:
                    raise StoppedError(
                        f"stopped at {iso(clock.time())}; what came before is in {config.data.path}"
                    ) from None
            if options.notify:
                with closing(open_runtime(config.window.base, HOUR)) as runtime:
                    left = deliver(runtime, PATIENCE)
    lines = [*result.lines(), *bad.told()]
    if left:
        lines.append(f"{left} messages are still to be delivered; the next server on this folder goes on with them")
    lines.append(f"see: {words.program()} alerts --data {config.data.path}")
    seconds = recording.times // 10**9
    fits = propose(seconds, DriftConfig().min_samples)
    drift = config.drift
    if fits.window != drift.window or fits.min_samples < drift.min_samples:
        lines += ["", "By the traffic in these data other windows suit; for config.toml:", ""]
        lines += propose_settings(reference, seconds)
    data = {"bad_rows": bad.count, "data": config.data.path, "proposal": fits.to_json()}
    return Answer(lines, {**result.to_json(), **data})


def settings(options: argparse.Namespace, config: Config) -> Config:
    """The settings with what the command line changes; without `--notify` only the log is told. Raises ConfigError."""
    replace = dataclasses.replace
    if options.model_file:
        config = replace(config, model=replace(config.model, path=options.model_file))
    if options.every is not None:
        if options.every <= 0:
            raise ConfigError("--every: expected more than zero")
        config = replace(config, drift=replace(config.drift, every=options.every))
    if options.notify:
        return config
    rules = tuple(replace(rule, receivers=()) for rule in config.rules)
    return replace(config, rules=rules, receivers=(), alerts=replace(config.alerts, receivers=()))


@contextmanager
def alerts_logged(shown: bool) -> Iterator[None]:
    """Show the messages of the log receiver, or hide them."""
    log = logging.getLogger("telltale.alerts")
    level = log.level
    if not shown:
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def predictor(config: Config, reference: Reference) -> tuple[Predict, str]:
    """Return what works the predictions out, and the model's version. Raises ModelError."""
    proba = len(reference.schema.predictions) > 1 and reference.schema.predictions[1].name.startswith("proba_")
    model = open_model(dataclasses.replace(config.model, proba=proba), reference)

    def predict(blocks: Sequence[Block]) -> Sequence[Sequence[Any]]:
        try:
            return model.answer_columns(blocks)
        except Exception as error:
            rows = [list(row) for row in zip(*blocks, strict=True)]
            reason = model.explain(rows, error)
            where = f"{reason.where}: " if isinstance(reason, InputError) else ""
            raise DataError(f"{config.model.path}: the model cannot predict these rows: {where}{reason}") from error

    return predict, model.version


def prepare(folder: DataFolder, reference: Reference, keep: int) -> Encoder:
    """An encoder that gives unseen values the codes under which the journal will know them."""
    folder.journal.mkdir(parents=True, exist_ok=True)
    schema = reference.schema
    return Encoder(schema, UnseenNames(names_file(folder.journal, schema), schema, keep))


def refuse_overlap(folder: DataFolder, recording: Recording) -> None:
    """Refuse a folder with predictions after the file's first row: time must not run backwards. Raises DataError."""
    if not folder.database.exists():
        return
    connection = connect_read_only(folder.database)
    try:
        latest = history.newest(connection)
    finally:
        connection.close()
    first = recording.times[0] / 1e9
    if latest > first:
        raise DataError(
            f"{folder.path}: already has predictions up to {iso(latest)}, and the file begins at {iso(first)}; "
            "replay into a folder of its own: --data DIR"
        )


class Pace:
    """Tells once how long a replay will take, from its first evaluations, if that is more than a few seconds."""

    def __init__(self, progress: Any, evaluations: int, data: str, clock: Clock) -> None:
        self._progress, self._total, self._data, self._clock = progress, evaluations, data, clock
        self._begun, self._done, self._shown = clock.monotonic(), 0, False

    def update(self, rows: int) -> None:
        """Note an evaluation, before which `rows` more rows have come."""
        self._progress.update(rows)
        self._done += 1
        seconds = self._clock.monotonic() - self._begun
        if self._shown or seconds < MEASURED or self._progress.disable:
            return
        self._shown = True
        left = seconds / self._done * (self._total - self._done)
        if left > WORTH_TELLING:
            what = f"about {words.duration(left)} for {words.counted(self._progress.total, 'row')}"
            self._progress.write(f"{what}; Ctrl-C stops it, and what is done stays in {self._data}", file=sys.stderr)
