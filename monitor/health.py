"""How each part of the monitor is doing: what `/healthz` tells."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from monitor.clock import Clock, from_iso, iso
from monitor.config.load import Config
from monitor.exposition import families as f
from monitor.exposition.snapshot import Health, Latency
from monitor.folding import INSTRUMENTS, Folding
from monitor.instruments import SECONDS, Readings
from monitor.journals import Journals
from monitor.schedule import Schedule
from monitor.store.file.folder import DataFolder
from monitor.store.file.writer import Writer
from monitor.store.records.notifications import Delivery, deliveries
from monitor.store.records.outcomes import read_tallies
from monitor.store.windows.rows import last_damage, lost_predictions
from monitor.watched import Watched, origin

#: Seconds for which damage to the record is shown by health.
DAMAGE_SHOWN = 86400.0

#: How a part of the monitor is doing, best first. `degraded`: it does some of its work, or late; `failing`: none.
CONDITIONS = ("ok", "degraded", "failing")


class Check(NamedTuple):
    """How one part of the monitor is doing, what that means, and since when, seconds since 1970 UTC."""

    part: str
    condition: Literal["ok", "degraded", "failing"]
    detail: str
    since: float | None = None


class Condition:
    """How the process is doing. What costs a query or a walk through the folder is looked at every few seconds."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        folder: DataFolder,
        writer: Writer,
        journals: Journals,
        folding: Folding,
        schedule: Schedule,
        receivers: Sequence[str],
    ) -> None:
        self._every, self._clock, self._folder, self._writer = config.drift.every, clock, folder, writer
        self._journals, self._folding, self._schedule, self._receivers = journals, folding, schedule, receivers
        #: Why models are not watched, by name; when a reload was refused, and why; since when folds fail, and why.
        self.failed: Mapping[str, str] = {}
        self.refused_reload: tuple[float, str] | None = None
        self.failing: tuple[float, str] | None = None
        #: Evaluations since the first start, and when the last one of this process was.
        self.evaluations, self.evaluated = 0, 0.0

    def look(self, connection: sqlite3.Connection) -> None:
        """Gather what is not published by the parts themselves."""
        self.deliveries: Sequence[Delivery] = deliveries(connection, self._receivers)
        self._gaps, _ = lost_predictions(connection)
        self._damage, self._tallies = last_damage(connection), read_tallies(connection)
        self._outcomes = {name: model.count_outcomes(connection) for name, model in self._journals.models.items()}
        self._database_bytes = self._folder.database.stat().st_size

    def facts(self, model: Watched) -> Health:
        """How the process and a model are doing, as `/metrics` shows it."""
        readings, journals = self._folding.readings.get(model.instruments.key) or Readings(), self._journals
        sources = [origin(source.name) for source in model.sources]
        repeated = sum(self._tallies.get((source, "repeated"), 0) for source in sources)
        return Health(
            process={
                f.CAPTURE_DROPPED: journals.dropped,
                f.GAPS: self._gaps,
                f.FOLD_LAG: journals.lag,
                f.JOURNAL_BYTES: journals.bytes,
                f.DATABASE_BYTES: self._database_bytes,
                f.EVALUATIONS: self.evaluations,
                f.EVALUATION_LATE: self._schedule.late,
                **({f.EVALUATION_TIME: self.evaluated} if self.evaluated else {}),
                f.EVALUATION_EVERY: self._every,
                f.WAITING: sum(receiver.pending for receiver in self.deliveries),
                f.DEAD_LETTERS: sum(receiver.dead for receiver in self.deliveries),
            },
            model={f.MODEL_ERRORS: readings.model_errors, f.REPEATED: repeated},
            rejected=self._folding.readings[INSTRUMENTS].rejected,
            notifications={(to.receiver, key): n for to in self.deliveries for key, n in to.totals.items()},
            latency=Latency(SECONDS, tuple(readings.seconds), readings.seconds_sum),
            outcomes=self._outcomes.get(model.name),
        )

    def checks(self) -> list[Check]:
        """How each part of the monitor is doing."""
        checks = [Check("models", "failing", f"{name} is not served: {why}") for name, why in self.failed.items()]
        if self.refused_reload is not None:
            since, why = self.refused_reload
            checks.append(Check("reload", "degraded", f"the last one was refused, all stays as it was: {why}", since))
        return [*checks, self._capture(), *self._pulled(), self._store(), self._evaluation(), self._delivery()]

    def _capture(self) -> Check:
        """Whether predictions are recorded. Damage to the record is shown for a day."""
        dropped = self._journals.dropped
        if self._folder.trouble:
            return Check("capture", "failing", self._folder.trouble)
        for source in self._journals.sources:
            if source.dropping:
                since, why = source.dropping
                detail = f"predictions are answered but not recorded: {why}; {dropped} dropped so far"
                return Check("capture", "failing", detail, since)
        if self._damage is not None and self._clock.time() - from_iso(self._damage[0]) <= DAMAGE_SHOWN:
            at, lost, what = self._damage
            lost_rows = f"{'an unknown number of' if lost is None else lost} predictions, {what}"
            return Check("capture", "degraded", f"recording; part of the record is lost: {lost_rows}", from_iso(at))
        if all(model.pulled is not None for model in self._journals.models.values()):
            return Check("capture", "ok", "nothing is recorded here: all counts are pulled")
        return Check("capture", "ok", f"recording; {dropped} dropped since the first start" if dropped else "recording")

    def _pulled(self) -> Iterator[Check]:
        models = self._journals.models
        for name, model in models.items():
            if model.pulled is not None:
                condition, words, since = model.pulled.check()
                yield Check("source", condition, f"{name}: " * (len(models) > 1) + words, since)

    def _store(self) -> Check:
        """Whether what is recorded reaches the store."""
        if not self._writer.alive:
            return Check("store", "failing", "the writer's thread has ended; restart the server")
        if self.failing is not None:
            since, why = self.failing
            detail = f"the database refuses writes, and the journal keeps what comes in: {why}"
            return Check("store", "failing", detail, since)
        if (lag := self._journals.lag) > 60:
            return Check("store", "degraded", f"the last fold was {lag:.0f} seconds ago")
        return Check("store", "ok", "predictions reach the database")

    def _evaluation(self) -> Check:
        """Whether drift is worked out on time."""
        schedule, models = self._schedule, self._journals.models.values()
        if (since := schedule.failing_since) is not None:
            return Check("evaluation", "failing", "drift cannot be worked out; the log says why", since)
        failing = {rule: since for model in models for rule, since in model.evaluator.failing.items()}
        if failing:
            detail = f"cannot be evaluated: {', '.join(sorted(failing))}; the log says why"
            return Check("evaluation", "degraded", detail, min(failing.values()))
        if schedule.overdue > max(5.0, self._every):
            return Check("evaluation", "degraded", f"the next evaluation is {schedule.overdue:.0f} seconds late")
        return Check("evaluation", "ok", "on time")

    def _delivery(self) -> Check:
        """Whether alerts reach people."""
        waiting, dead = (sum(getattr(to, what) for to in self.deliveries) for what in ("pending", "dead"))
        oldest = min((from_iso(to.oldest) for to in self.deliveries if to.oldest), default=None)
        if dead:
            return Check("delivery", "degraded", f"{dead} notifications could not be delivered; see the alerts page")
        if oldest is not None and self._clock.time() - oldest > 300:
            return Check("delivery", "degraded", f"{waiting} notifications wait to be delivered", oldest)
        return Check("delivery", "ok", f"{waiting} notifications on their way" if waiting else "nothing waits")

    def health(self) -> dict[str, Any]:
        """The body of `/healthz`: the worst condition, and every part's own."""
        checks = [check._asdict() for check in self.checks()]
        for check in checks:
            check["since"] = None if check["since"] is None else iso(check["since"])
        return {"status": max((check["condition"] for check in checks), key=CONDITIONS.index), "checks": checks}
