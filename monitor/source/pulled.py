"""A source that is pulled: what takes time is asked on a thread of its own, and handed over on the writer's."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any, Literal, NoReturn

from monitor.capture.names import UnseenNames
from monitor.clock import Clock
from monitor.config.settings import SourceConfig, duration_text
from monitor.errors import InputError, SourceError
from monitor.series import Series
from monitor.source.protocol import Handover

log = logging.getLogger(__name__)

#: Parts that may wait for the writer before the fetch is held up: what is caught up after an outage comes in many.
AHEAD = 16

#: Seconds until a source that failed is asked again, at first; doubled each time, up to `every` or a minute.
RETRY = 2.0

#: Seconds for which it may fail before health calls that failing: most are away for a restart only.
PATIENCE = 300.0


class Pulled(ABC):
    """A source that asks another system. A subclass has `fetch`, and may have `delay`.

    `where`: what is asked, for people; a subclass sets it. `cursor`: how far it came, as committed.
    """

    behind = False
    bytes = 0
    dropped = 0
    dropping = None
    #: Whether the last fetch has left something.
    more = False
    #: Seconds after a whole multiple of `every` at which it is asked.
    delay = 0.0

    def __init__(self, name: str, series: Series, cursor: str, settings: SourceConfig, base: int, clock: Clock) -> None:
        """Resume at a cursor; empty means that nothing was handed over yet. `base`: seconds of a base window."""
        self.name, self.where, self.series, self.cursor = name, settings.kind, series, cursor
        #: Names of unseen values, if what comes has any; `Watched` sets them.
        self.names: UnseenNames
        self.settings, self.base, self.clock = settings, base, clock
        self._ready: deque[Handover] = deque()
        self._since = clock.time()
        self._fetching, self._moved, self._closed = threading.Lock(), threading.Condition(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="telltale-source", daemon=True)
        self._failures, self._failing, self._succeeded = 0, (0.0, ""), False
        self._asked = 0.0
        self.remarked, self._remarks = list[str](), dict[str, float]()

    @abstractmethod
    def fetch(self, cursor: str) -> Iterator[Handover]:
        """Ask for what has come since a cursor, in parts, each with the cursor behind it.

        On the source's own thread; it may take its time. What `remark` is told meanwhile is shown until the next fetch
        does not say it again. Raises SourceError if there is no answer, or none that can be counted.
        """

    def remark(self, words: str) -> None:
        """Say what is wrong with what comes, although it comes: health shows it as degraded."""
        if words not in self.remarked:
            self.remarked.append(words)

    def check(self) -> tuple[Literal["ok", "degraded", "failing"], str, float | None]:
        """How it is doing, in words, and since when."""
        since, why = self._failing
        if why:
            late = self.clock.time() - since >= PATIENCE or not self._succeeded
            return "failing" if late else "degraded", f"{self.where}: {why}", since
        if remarks := self._remarks:
            return "degraded", f"{self.where}: {'; '.join(remarks)}", min(remarks.values())
        if not self._succeeded:
            return "ok", f"{self.where} is being asked for the first time", None
        return "ok", f"{self.where} is asked every {duration_text(self.settings.every)}", None

    def refuse(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse predictions that are sent here: they are counted elsewhere. Raises InputError."""
        raise InputError("pulled", f"counts come from {self.where}; nothing can be sent here", None, 409)

    # The source's own thread.

    def start(self) -> None:
        """Start to ask."""
        self._thread.start()

    def pull(self, fold: Callable[[], None]) -> None:
        """Ask once, now, on the caller's thread; `fold` has each part committed. Raises SourceError.

        For commands and tests, whose runtime may not be started.
        """

        def committed() -> bool:
            fold()
            return True

        if self.waiting:
            fold()
        self._once(committed)

    def _once(self, committed: Callable[[], bool]) -> None:
        """Fetch; `committed` is called for each part, and returns whether to go on."""
        with self._fetching:
            began = self.clock.time()
            self.remarked.clear()
            try:
                for handover in self.fetch(self.cursor):
                    with self._moved:
                        if not self._ready:
                            self._since = self.clock.time()
                        self._ready.append(handover)
                    if not committed():
                        return
            except Exception as error:
                why = str(error) if isinstance(error, SourceError) else f"{type(error).__name__}: {error}"
                if not self._failing[1]:
                    log.warning("%s: %s; it is asked again", self.where, why)
                self._failures += 1
                self._failing = (self._failing[0] if self._failing[1] else self.clock.time(), why)
                raise
            if self._failing[1]:
                log.info("%s answers again", self.where)
            for words in self.remarked:
                if words not in self._remarks:
                    log.warning("%s: %s", self.where, words)
            now = self.clock.time()
            self._remarks = {words: self._remarks.get(words, now) for words in self.remarked}
            self._failures, self._failing, self._succeeded, self._asked = 0, (0.0, ""), True, began

    def _run(self) -> None:
        while not self._closed.is_set():
            self._until_fewer(1)  # the fetch begins at the committed cursor
            try:
                self._once(lambda: self._until_fewer(AHEAD))
            except SourceError:
                pass  # said already
            except Exception:
                log.exception("%s: asking it failed; it is asked again", self.where)
            self.clock.wait(self._closed, self._pause())

    def _pause(self) -> float:
        """Seconds until it is asked again."""
        every = self.settings.every
        if self._failures:
            return float(min(RETRY * 2 ** min(self._failures - 1, 10), max(every, 60.0)))
        return 0.0 if self.more else every - (self.clock.time() - self.delay) % every

    def _until_fewer(self, parts: int) -> bool:
        """Wait until fewer parts wait for the writer; returns whether it is still open."""
        with self._moved:
            self._moved.wait_for(lambda: len(self._ready) < parts or self._closed.is_set())
        return not self._closed.is_set()

    # The writer's thread.

    def read(self) -> Generator[Handover]:
        """Hand over what was fetched."""
        while self._ready:
            yield self._ready[0]
            with self._moved:
                self.cursor = self._ready.popleft().cursor
                self._since = self.clock.time()
                self._moved.notify_all()

    @property
    def waiting(self) -> bool:
        """Whether something was fetched that the store has not."""
        return bool(self._ready)

    @property
    def counted_to(self) -> float:
        """Up to when everything is counted; 0 as long as something is wrong with the source, or more waits."""
        unsure = self._failing[1] or self._remarks or self.more
        asked = self._asked - self.settings.lag  # before it is looked at what waits
        return 0.0 if unsure or self.waiting else asked

    @property
    def lag(self) -> float:
        """Seconds since the writer took a part, or since there is one; 0 if none waits."""
        return max(0.0, self.clock.time() - self._since) if self._ready else 0.0

    def sync(self) -> None:  # noqa: B027 - a source without files of its own has nothing to do
        """Nothing is kept beside the store."""

    def close(self) -> None:
        """End the thread. One that waits for an answer is left to its timeout: what it gets is not taken any more."""
        with self._moved:
            self._closed.set()
            self._moved.notify_all()
        if self._thread.ident is not None:
            self._thread.join(5.0)
