"""The sources of a runtime: those of its models, and the journals that are recorded elsewhere and followed here."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monitor.series import Series
from monitor.source.journal import JournalSource
from monitor.source.outcomes import OutcomeSource
from monitor.source.protocol import Source
from monitor.watched import Followed, Watched


class Journals:
    """All sources, for the writer's thread; the properties may be read by any.

    `sources`: predictions first, since outcomes are joined to them. `dropped_before`: predictions that journals which
    are not here any more had no room for.
    """

    def __init__(
        self, transaction: Callable[[Callable[[sqlite3.Connection], Any]], Any], models: Mapping[str, Watched]
    ) -> None:
        self._transaction, self.models, self.dropped_before = transaction, models, 0
        self.sources: list[Source] = [source for model in models.values() for source in model.sources]
        #: Journals that have ended, and what is to be done once nothing of them is needed.
        self._retired: list[tuple[str, str, Callable[[], object]]] = []

    def add(self, model: str, key: str, token: str, first: int, folder: Path, series: Series | None = None) -> None:
        """Follow one more journal of a model; see `Watched.open_journal`. Raises KeyError for an unknown model."""
        watched, what = self.models[model], (key, token, first, folder, series)
        self.take_up(watched, key, self._transaction(lambda connection: watched.open_journal(connection, *what)))

    def take_up(self, model: Watched, key: str, journal: Followed) -> None:
        """Follow a journal that was opened in a transaction, once that is committed."""
        model.follow(key, journal)
        self.include(journal.source, journal.outcomes)

    def include(self, predictions: Source, outcomes: Source | None = None) -> None:
        """Read these sources too."""
        self.sources = [predictions, *self.sources, *([outcomes] if outcomes else [])]

    def retire(self, model: str, key: str, done: Callable[[], object]) -> None:
        """Note that nothing more comes into a journal: the next fold reads the rest of it.

        `done`: what is to be done once it is folded and needed no more; its cursor stays.
        """
        followed = self.models[model].followed[key]
        if not followed.source.ended:
            for source in followed[:2]:
                if source is not None:
                    source.end()
            self._retired.append((model, key, done))

    def put_away(self) -> None:
        """Follow the retired journals no longer that are needed no more."""
        for retired in list(self._retired):
            model, key, done = retired
            gone = [source for source in self.models[model].followed[key][:2] if source is not None]
            if all(source.settled for source in gone):
                self._retired.remove(retired)
                self.dropped_before += gone[0].dropped
                self.sources = [source for source in self.sources if source not in gone]
                self.models[model].unfollow(key)
                done()

    def forget_names(self) -> None:
        """Read the names of unseen values again: some were erased."""
        for source in self.sources:
            if isinstance(source, JournalSource):
                source.reread_names()
        for model in self.models.values():
            if model.pulled is not None:
                model.pulled.names.load()
            model.evaluator.forget_names()

    @property
    def lag(self) -> float:
        """Seconds since everything that had come was folded; 0 if nothing waits."""
        return max((source.lag for source in self.sources), default=0.0)

    @property
    def bytes(self) -> int:
        """What waits to be folded, or may be needed again, on the disk."""
        return sum(source.bytes for source in self.sources)

    @property
    def unfolded(self) -> bool:
        """Whether a journal has what the store has not."""
        return any(source.waiting for source in self.sources)

    @property
    def dropped(self) -> int:
        """Predictions that were answered and could not be recorded, since the first start."""
        return self.dropped_before + sum(
            source.dropped for source in self.sources if not isinstance(source, OutcomeSource)
        )
