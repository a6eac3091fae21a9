"""One watched model: its reference, its source of counts, its series and its rules."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

from monitor.capture.names import UnseenNames, names_file
from monitor.clock import Clock, from_iso, iso
from monitor.columns.batch import Batch
from monitor.config.load import Config
from monitor.config.settings import JOURNAL
from monitor.drift.result import DriftResult, Subject, at_a_glance
from monitor.exposition.render import Renderer
from monitor.exposition.snapshot import Health, Latency, OutcomeCounts, ShownPerformance, Snapshot
from monitor.instruments import Instruments
from monitor.judging.evaluation import Evaluation, Evaluator
from monitor.outcomes.join import DELAYS, RESULTS
from monitor.outcomes.waiting import JOURNAL_BITS, Waiting
from monitor.recording import NAMED, Watch, Worker
from monitor.rules.cover import explain
from monitor.series import Series
from monitor.source.counters import FLEET
from monitor.source.journal import JournalSource
from monitor.source.outcomes import OutcomeRecorder, OutcomeSource, Predictions, Tokens
from monitor.source.prometheus import PrometheusSource
from monitor.source.protocol import Source
from monitor.source.pulled import Pulled
from monitor.source.recorder import Record, Recorder
from monitor.source.table import TableSource
from monitor.source.targets import TargetsSource
from monitor.store.file.folder import OUTCOMES, WAITING, DataFolder
from monitor.store.records.outcomes import add_token, newest_token, read_delays, read_sums, read_tallies, read_tokens
from monitor.store.windows.ledger import Ledger, read_cursor
from monitor.store.windows.rows import load_series, newest_moment, register_series, series_of_schema
from monitor.words import counted

#: The sources that are pulled, by kind.
PULLED: dict[str, type[Pulled]] = {"prometheus": PrometheusSource, "scrape": TargetsSource, "table": TableSource}


class Followed(NamedTuple):
    """Another journal of a model's predictions, and of outcomes. `tokens`: of all ids of the model."""

    source: JournalSource
    outcomes: OutcomeSource | None
    tokens: Mapping[int, Tokens]


def origin(source: str) -> str:
    """Name of the journal that another one is beside, or its own.

    >>> origin("journal/a@7.1f"), origin("journal")
    ('journal/a', 'journal')
    """
    return source.partition("@")[0]


class Watched:
    """A model that is being watched. `config`: as if it were the only one.

    Opened on the store's writing connection, in the transaction of the opening.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        watch: Watch,
        folder: DataFolder,
        ledger: Ledger,
        config: Config,
        clock: Clock,
        replica: str,
        why: str,
        instruments: Instruments,
        beside: Watched | None = None,
        worker: Worker | None = None,
    ) -> None:
        """Begin to watch it.

        `beside`: the version that it replaces, which records for a moment more; `worker`: where its own predictions are
        recorded then.
        """
        self.name, self.version, self.reference = watch.name, watch.version, watch.reference
        self.config, self.instruments, self._clock = config, instruments, clock
        #: Finds the series that a segment of a journal was recorded for.
        self._find = partial(series_of_schema, connection, model=self.name)
        now = iso(clock.time())
        #: Its streams of counts: all of its predictions. The source counts for each of them.
        self.series = register_series(connection, Subject(self.name, self.version), self.reference, now)
        self._since = from_iso(self.series.first_served)
        self._ledger = ledger
        ledger.open(connection, self.series)
        #: Journals that other processes record, or other versions of the model did, by key.
        self.followed: dict[str, Followed] = {} if beside is None else beside.followed
        #: Its own journal among them, to be followed, if it took over from another version.
        self.own: Followed | None = None
        #: Takes outcomes; None without `[outcomes]`.
        self.outcomes: OutcomeSource | None = None
        #: Records outcomes here; None without `[outcomes]`.
        self.outcome_recorder: OutcomeRecorder | None = None
        self._source: JournalSource | Pulled
        if (kind := config.source.kind) == JOURNAL and beside is not None and worker is not None:
            self._open_beside(connection, beside, worker)
        elif kind == JOURNAL:
            self._source = self._open_journal(connection, watch, folder, ledger, why)
        else:
            name, base = f"{kind}/{watch.journal}".removesuffix("/"), round(config.window.base)
            cursor, replica = read_cursor(connection, name), FLEET + replica
            place = folder.journal / watch.journal
            place.mkdir(parents=True, exist_ok=True)
            schema = self.reference.schema
            names = UnseenNames(names_file(place, schema), schema, config.data.keep_unseen)
            self._source = PULLED[kind](name, self.series, cursor, config.source, base, clock)
            self._source.names = names
            if isinstance(self._source, TableSource) and config.outcomes is not None:
                self._source.within = config.outcomes.within
                self._source.load = partial(read_sums, connection)
        self.evaluator = Evaluator(self.series, config, clock)
        self.evaluator.restore(connection)
        self.renderer = Renderer(
            self.reference,
            self.version,
            boxkite=config.metrics.boxkite,
            max_series=config.metrics.max_series,
            alpha=config.drift.alpha,
            min_samples=config.drift.min_samples,
            replica=replica,
            model=self.name,
        )

    @cached_property
    def explained(self) -> dict[str, str]:
        """What each of its rules does, by name; of those for all columns without the names of these."""
        rules = self.config.rules
        texts = [(rule, explain(rule, self.reference.schema, rules)) for rule in rules]
        return {rule.name: text if rule.columns else text.partition("\n")[0] for rule, text in texts}

    def __repr__(self) -> str:
        return f"<Watched {self.series.subject.title}: {counted(self.totals.n, 'prediction')}>"

    def _open_journal(
        self, connection: sqlite3.Connection, watch: Watch, folder: DataFolder, ledger: Ledger, why: str
    ) -> JournalSource:
        source = f"journal/{watch.journal}" if watch.journal else "journal"
        wanted, now = self.config.outcomes, iso(self._clock.time())
        size = (wanted.within, wanted.max_size) if wanted else (0.0, 0)
        waiting = Waiting(folder.path / WAITING / watch.journal, *size)
        if waiting.newest_journal > newest_token(connection):
            waiting.clear()  # its journals are of a database that was replaced
        place, cursor, newest = (
            folder.journal / watch.journal,
            read_cursor(connection, source),
            newest_moment(connection),
        )
        parts = self.config, self._clock, self._find, waiting
        journal = JournalSource(source, place, self.series, cursor, *parts, why=why, newest=newest or "")
        if journal.opening is not None:
            ledger.keep(connection, source, journal.opening, now)
        add_token(connection, journal.recorder.token, source, journal.recorder.start, now)
        self._predictions = Predictions(waiting, [journal], read_tokens(connection, source))
        self._recorder = journal.recorder
        if wanted is not None:
            name = f"outcomes/{watch.journal}" if watch.journal else "outcomes"
            self.outcomes = self._open_outcomes(connection, name, folder.path / OUTCOMES / watch.journal, self.series)
            self.outcome_recorder = self.outcomes.recorder
        return journal

    def _open_beside(self, connection: sqlite3.Connection, beside: Watched, worker: Worker) -> None:
        """Record as a worker does, beside the journal of the version before; ids and outcomes know both."""
        self._predictions, self._source, self.outcomes = beside._predictions, beside._source, beside.outcomes
        mine = worker.models[self.name]
        self._recorder, self.outcome_recorder = mine.recorder, mine.outcome_recorder
        place = worker.path / self.name
        self.own = self.open_journal(connection, NAMED + worker.key, mine.recorder.token, 1, place)
        self._source, self.outcomes = self.own.source, self.own.outcomes

    def _open_outcomes(
        self, connection: sqlite3.Connection, name: str, folder: Path, series: Series, journal: int = 0
    ) -> OutcomeSource:
        cursor, load = read_cursor(connection, name), partial(load_series, connection)
        return OutcomeSource(
            name, folder, series, self._predictions, cursor, self.config, self._clock, self._find, load, journal
        )

    def open_journal(
        self,
        connection: sqlite3.Connection,
        key: str,
        token: str,
        first: int,
        folder: Path,
        series: Series | None = None,
    ) -> Followed:
        """Follow a journal that is recorded elsewhere, in `folder`/journal and `folder`/outcomes, at its cursors.

        `key`: its name beside the others, the same for ever; `token`: what the ids of its predictions begin with from
        the sequence number `first` on; `series`: of its predictions, that of this version by default. Call `follow`
        once that is committed. Raises InputError if the token belongs to another journal.
        """
        name, series = f"{origin(self.source.name)}@{key}", series or self.series
        add_token(connection, token, name, first, iso(self._clock.time()))
        tokens = read_tokens(connection, origin(self.source.name))
        number, folders = tokens[int(token, 16)].journal, (folder / "journal", folder / OUTCOMES)
        cursor, kept = read_cursor(connection, name), self.source.kept
        source = JournalSource(name, folders[0], series, cursor, self.config, self._clock, self._find, kept, number)
        outcomes = None
        if self.outcomes is not None:
            name = f"{origin(self.outcomes.name)}@{key}"
            outcomes = self._open_outcomes(connection, name, folders[1], series, number)
        return Followed(source, outcomes, tokens)

    def follow(self, key: str, journal: Followed) -> None:
        """Join outcomes to the predictions of another journal from now on."""
        self.followed[key] = journal
        self._predictions.sources = [*self._predictions.sources, journal.source]
        self._predictions.tokens = journal.tokens

    def unfollow(self, key: str) -> None:
        """Forget a journal of which everything is folded and committed."""
        source = self.followed.pop(key).source
        self._predictions.sources = [other for other in self._predictions.sources if other is not source]
        self.source.kept.shut(source.base >> JOURNAL_BITS)

    @property
    def source(self) -> JournalSource:
        """The journal that its predictions are recorded in. Raises InputError if its counts are pulled."""
        if isinstance(self._source, Pulled):
            self._source.refuse()
        return self._source

    @property
    def recorder(self) -> Recorder:
        """What records its predictions here. Raises InputError if its counts are pulled."""
        if isinstance(self._source, Pulled):
            self._source.refuse()
        return self._recorder

    @property
    def pulled(self) -> Pulled | None:
        """Where its counts are pulled from; None if its predictions are recorded here."""
        return self._source if isinstance(self._source, Pulled) else None

    @property
    def counted_to(self) -> float:
        """Up to when all predictions are counted; infinite for a journal. 0 while some are lost, or a source fails."""
        if isinstance(self._source, Pulled):
            return self._source.counted_to
        return math.inf if self._source.dropping is None else 0.0

    @property
    def record(self) -> Record:
        """Records one prediction; raises InputError if its counts are pulled."""
        return self._source.refuse if isinstance(self._source, Pulled) else self._recorder.record

    @property
    def sources(self) -> list[Source]:
        """All that its counts come from."""
        return [self._source] if self.outcomes is None else [self._source, self.outcomes]

    @property
    def totals(self) -> Batch:
        """What was counted since the model version was first served, up to the last commit."""
        return self._ledger.totals(self.series)

    @property
    def latest(self) -> Evaluation:
        """The last committed evaluation."""
        return self.evaluator.latest

    def count_outcomes(self, connection: sqlite3.Connection) -> OutcomeCounts | None:
        """What became of outcomes by the last commit; None if none are taken."""
        if self.outcomes is None:
            return None
        tallies, (delays, seconds) = read_tallies(connection), read_delays(connection, self.series)
        return OutcomeCounts(
            {result: tallies.get((origin(self.outcomes.name), result), 0) for result in RESULTS},
            Latency(DELAYS, tuple(delays.tolist()), seconds),
            self.source.kept.open,
            self.source.kept.one_in,
        )

    def snapshot(self, health: Health) -> Snapshot:
        """Everything that `/metrics` shows of it, at one moment."""
        latest, totals = self.latest, self.totals
        performance = tuple(
            ShownPerformance(by.rule.name, by.measures, by.coverage, by.results) for by in latest.performance
        )
        counted = totals.counts, totals.sums, totals.n, self._since
        return Snapshot(*counted, latest.results, latest.alerts, health, performance)

    def drift(self) -> tuple[DriftResult, ...]:
        """The verdicts of the last evaluation; if rows wait in an open window, the reasons of some say so."""
        latest = self.latest
        if not latest.waiting:
            return latest.results
        rows = "1 row is" if latest.waiting == 1 else f"{latest.waiting:,} rows are"
        wait = f"{rows} in a window that has not ended: evaluate(now=True) judges it"
        short = ("no traffic", "insufficient data")
        return tuple(
            result._replace(reason=f"{result.reason}; {wait}") if result.state in short else result
            for result in latest.results
        )

    def alerts(self) -> list[dict[str, Any]]:
        """Every alert that is not inactive, as `/api/alerts` lists them."""
        return [alert.to_json() for alert in self.latest.alerts.values() if alert.state != "inactive"]

    def status(self) -> dict[str, Any]:
        """How it stands, as `/api/status` tells it."""
        latest = self.latest
        states = Counter(alert.state for alert in latest.alerts.values())
        return {
            "model": self.name,
            "model_version": self.version,
            "reference": self.reference.identity,
            "predictions": self.totals.n,
            "columns": len(self.reference.schema.columns),
            **at_a_glance(latest.results),
            "evaluated": iso(latest.at) if latest.at else None,
            "learning": latest.learning or None,
            "alerts": {state: states[state] for state in ("pending", "firing", "resolved")},
        }
