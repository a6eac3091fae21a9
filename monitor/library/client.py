"""A monitor for a service elsewhere than the server: `Monitor.connect`. docs/decisions/0015-workers.md has the reasons.

What is observed goes into a journal in the spool, and one thread copies the journal to the server byte for byte. The
server commits how far it has read together with the counts, so what is sent again is counted once. What is at the
server is deleted; what a dead process has left is sent by any other that uses the spool.

    spool/REFERENCE/model.json        what the server said of the model, so that a start need not ask
    spool/REFERENCE/TOKEN/journal     predictions; TOKEN begins their ids
    spool/REFERENCE/TOKEN/outcomes    a journal of outcomes
"""

from __future__ import annotations

import atexit
import errno
import json
import logging
import os
import random
import secrets
import shutil
import threading
from contextlib import suppress
from dataclasses import replace
from email.utils import parsedate_to_datetime
from hashlib import sha256
from pathlib import Path
from time import monotonic, time
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from monitor.capture.journal import Journal
from monitor.capture.names import NAMES_FILES
from monitor.capture.recover import left_behind, next_number
from monitor.capture.segment import RECORDS_AT
from monitor.clock import Clock
from monitor.config.load import Config
from monitor.config.settings import size
from monitor.errors import ConfigError, ReferenceFileError, StoreError
from monitor.library.observing import Observing, check_on_error, record_outcomes, refuse_closed
from monitor.notify.http import Failure, Http, backoff, retry_after
from monitor.notify.secret import Secret
from monitor.recording import Recording, Watch
from monitor.reference.file import Reference, write_atomically
from monitor.source.recorder import Recorder
from monitor.store.file.folder import JOURNAL, OUTCOMES, DataFolder

log = logging.getLogger(__name__)

#: Bytes of a request: proxies refuse more than 1 MB unless they are told otherwise.
REQUEST = 900_000

#: Seconds between requests, and between looks for what dead processes have left.
EVERY, LOOK_EVERY = 1.0, 30.0

#: Seconds that an answer may take, and one at the end of the program.
PATIENCE, LAST_PATIENCE = 30.0, 5.0

#: Bytes that a spool may take at least.
LEAST_SPOOL = 10_000_000

#: Seconds by which the clocks of client and server may differ before that is said.
CLOCKS = 60.0


class UnsentError(StoreError):
    """The server does not take what was recorded. `refused`: not as it is; `after`: seconds that it asks to wait."""

    def __init__(self, message: str, refused: bool = False, after: float | None = None) -> None:
        super().__init__(message)
        self.refused, self.after = refused, after


class Served(NamedTuple):
    """The model that a server watches, as `GET /replicate` tells; `outcomes`: whether it takes them."""

    model: str
    version: str
    reference: Reference
    outcomes: bool

    @classmethod
    def read(cls, text: bytes) -> Served:
        """Read it. Raises StoreError."""
        try:
            answer = json.loads(text)
            reference = Reference.from_text(answer["reference"])
            return cls(str(answer["model"]), str(answer["model_version"]), reference, bool(answer["outcomes"]))
        except (ValueError, TypeError, KeyError, AttributeError, ReferenceFileError) as error:
            raise StoreError(f"this does not describe a model: {error}") from error


class Link:
    """Asks the server. `offset`: seconds by which its clock is ahead of this machine's."""

    def __init__(self, url: str, token: str | None) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"connect: expected an address that begins with http:// or https://, got {url!r}")
        self.url, self.offset, self.http = url.rstrip("/"), 0.0, Http(PATIENCE, 64 << 20)
        self._headers = {"Content-Type": "application/octet-stream"}
        if token:
            self._headers["Authorization"] = f"Bearer {Secret(token).reveal()}"

    def ask(self, body: bytes | None, **query: object) -> bytes:
        """Post, or get if there is no body. Raises UnsentError."""
        reply = self.http.post(f"{self.url}/replicate?{urlencode(query)}", body, self._headers)
        if isinstance(reply, Failure):
            raise UnsentError(f"{self.url}: {reply.reason}")
        now = time()
        with suppress(ValueError):
            self.offset = parsedate_to_datetime(reply.headers.get("Date", "")).timestamp() - now
        if reply.status == 200:
            return reply.body
        try:
            words = str(json.loads(reply.body)["error"]["message"])
        except (ValueError, KeyError, TypeError):
            words = "an error that Telltale does not know; is this its address?"
        refused = 400 <= reply.status < 500 and reply.status not in (408, 429)
        raise UnsentError(f"{self.url} answers {reply.status}: {words}", refused, retry_after(reply, now))


class Stream:
    """Journals of one process in the spool, and how far the server has them. `journals`: none if it has ended."""

    def __init__(self, folder: Path, served: Served, link: Link, journals: dict[str, Journal]) -> None:
        self.folder, self.served, self.journals = folder, served, journals
        self._link, self._sent = link, dict[Path, tuple[int, bytes]]()
        self._about = {"client": folder.name, "model": served.model, "version": served.version}
        self._about["reference"] = served.reference.identity
        #: Number of the last prediction that the server has of this process.
        self.sent = 0
        #: What the server watches now: version and reference.
        self.watched = served.version, served.reference.identity

    def send(self) -> None:
        """Send what has come by now. Raises UnsentError."""
        # Outcomes are looked at first, so that the predictions that they are for are sent before them.
        ready = {kind: _ready(journal) for kind, journal in reversed(self.journals.items())}
        for kind in (JOURNAL, OUTCOMES):
            for path in (self.folder / kind).glob(NAMES_FILES):
                self._copy(path, path.stat().st_size, 0, 1)
            segments = [segment for segment in left_behind(self.folder / kind) if segment.opened]
            for segment in segments:
                if (head := segment.head) is not None and head.capacity:
                    until = ready[kind] + 1 if self.journals else next_number([segment], 0)
                    slots = min(max(0, until - segment.first), head.capacity)
                    self._copy(segment.path, RECORDS_AT + slots * head.record_size, RECORDS_AT, head.record_size)
            if segments and self.journals:
                self.journals[kind].forget(min(ready[kind], segments[-1].first - 1))
        self.sent = ready.get(JOURNAL, 0)

    def finish(self) -> None:
        """Say that nothing more comes, and delete it here. Raises UnsentError."""
        self._link.ask(b"", **self._about)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _copy(self, path: Path, end: int, begin: int, unit: int) -> None:
        """Send a file up to `end`: its first `begin` bytes as they are now, and in whole units what was not sent."""
        sent, known = self._sent.get(path, (begin, b""))
        with path.open("rb") as file:
            head = file.read(begin)
            while sent < end or head != known:
                file.seek(sent)
                part = file.read(min(max(0, end - sent), max(REQUEST // unit, 1) * unit))
                if not begin and not (part := part[: part.rfind(b"\n") + 1]):
                    return  # the process died within a line
                about = self._about if self.journals else {**self._about, "ended": "true"}
                query = {**about, "file": f"{path.parent.name}/{path.name}", "at": sent}
                answer = json.loads(self._link.ask(head + part, **query))
                sent, known = int(answer["at"]), head
                self._sent[path], self.watched = (sent, known), (answer["version"], answer["reference"])


def _ready(journal: Journal) -> int:
    """Sequence number up to which the records of a journal do not change any more."""
    journal.maintain()
    while len(journal.read()):
        pass
    journal.noted(journal.drops())
    return journal.read_upto


class Client(Observing):
    """Watches a model for a server elsewhere. All methods may be called from any thread; `connect` makes one.

    `observe` takes no lock and waits for neither disk nor network. What was observed survives the death of the process,
    and is sent by the next one. A forked process goes on with a journal of its own.

    `error`: why what is recorded does not reach the server as it should; None if it does.
    """

    _stream: Stream | None = None
    _left: str | None = None

    def __init__(
        self, link: Link, spool: Path, spool_size: int, model: str | None, clock: Clock, patient: bool
    ) -> None:
        """Begin. `patient`: if the server cannot be asked what to record, ask again, and record nothing until then."""
        self._link, self._spool, self._size, self._model, self._clock = link, spool, spool_size, model, clock
        try:
            self._begin(*self._ask_model())
        except UnsentError as error:
            if not patient:
                raise
            self._say(f"nothing is recorded yet: {error}")
        self._start()
        _opened.add(self)

    @classmethod
    def connect(
        cls, url: str, spool: Path, spool_size: str, model: str | None, token: str | None, on_error: str, clock: Clock
    ) -> Self:
        """Connect: see `monitor.library.monitor.Monitor.connect`."""
        check_on_error(on_error)
        try:
            client = cls(Link(url, token), spool, _spool_bytes(spool_size), model, clock, on_error == "log")
        except Exception as error:
            if on_error == "raise":
                raise
            log.exception("the monitor did not start; predictions go on and are not recorded")
            client = cls.__new__(cls)
            client.error = str(error)
        if on_error == "log":
            client._never_raise()
        return client

    def _begin(self, served: Served, home: Path) -> None:
        """Begin a journal in a folder of its own. Raises StoreError."""
        folder, config = home / secrets.token_hex(6), Config.from_text("[outcomes]" if served.outcomes else "")
        self._held = DataFolder(folder)
        self._held.open()
        segment = min(max(self._size // 128, 1 << 18), 64 << 20)
        config = replace(config, data=replace(config.data, segment=segment))
        watch = Watch(served.reference, served.version, served.model)
        self._kept = kept = Recording(folder, watch, config, self._clock, folder.name)
        for journal in kept.journals.values():
            journal.check_room = self._check_room
        self._watch_columns(served.reference.schema, kept.record, kept.recorder.prefix)
        self._stream = Stream(folder, served, self._link, kept.journals)

    def _ask_model(self) -> tuple[Served, Path]:
        """What to record for, and its folder in the spool. Raises UnsentError if neither server nor spool says."""
        try:
            text = self._link.ask(None, **({} if self._model is None else {"model": self._model}))
        except UnsentError as error:
            known = sorted(self._spool.glob("*/model.json"), key=lambda path: path.stat().st_mtime, reverse=True)
            for path in () if error.refused else known:
                served = Served.read(path.read_bytes())
                if self._model in (None, served.model):
                    self._say(str(error))
                    return served, path.parent
            raise
        served, home = Served.read(text), self._spool / sha256(text).hexdigest()[:16]
        home.mkdir(parents=True, exist_ok=True)
        write_atomically(home / "model.json", text)
        return served, home

    def _check_room(self, wanted: int) -> None:
        """Raise OSError if the spool would take more than it may."""
        for path in self._spool.glob("*/*/*/*.journal"):
            with suppress(FileNotFoundError):  # another process has sent it
                wanted += path.stat().st_size
        if wanted > self._size:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    def __repr__(self) -> str:
        if self._stream is None:
            return f"<Client that records nothing: {self.error}>"
        state = (self.error or "open") if self._open else "closed"
        return f"<Client of {self._link.url} for model {self.version}, spool {self._spool}, {state}>"

    def close(self) -> None:
        """Send what is left, for some seconds at most; the next start sends the rest. Again, it does nothing."""
        if not self._open or os.getpid() != self._pid:
            return
        self._open, self._record = False, refuse_closed
        _opened.discard(self)
        self._stop.set()
        self._link.http.deadline = LAST_PATIENCE
        if self._stream is None or not self._sending.acquire(timeout=LAST_PATIENCE):
            return
        for journal in self._stream.journals.values():
            journal.close(0)
        self._stream.journals = {}
        try:
            self._stream.send()
            self._stream.finish()
        except (StoreError, OSError) as error:
            log.warning("%s; the next start sends what is left in %s", error, self._spool)
        finally:
            self._sending.release()
            self._held.close()

    # Recording.

    @property
    def _works(self) -> bool:
        return self._stream is not None

    @property
    def _recorder(self) -> Recorder:
        return self._kept.recorder

    def _flush(self) -> None:
        """Nothing is to be done: the thread sends what comes."""

    def _usable(self) -> None:
        if not self._open:
            refuse_closed()
        if os.getpid() != self._pid:
            with self._sending:
                if os.getpid() != self._pid and self._stream is not None:
                    self._held.close()
                    self._begin(self._stream.served, self._stream.folder.parent)
                    self._start()

    def _record_forked(self, *row: Any) -> int:
        """Record the first prediction after a fork."""
        self._usable()
        return self._record(*row)

    def outcome_many(self, ids: Any, values: Any, times: Any = None) -> dict[str, int]:
        """Record what came true for predictions, in the order in which it came; see `Monitor.outcome_many`.

        Raises InputError for what is no outcome of this model, or if the spool is full; StoreError if the server keeps
        no outcomes.
        """
        self._usable()
        recorder = self._kept.outcome_recorder
        if recorder is None:
            raise StoreError("the server keeps no outcomes: add the section [outcomes] to its settings")
        return {"accepted": sum(rows for _, rows in record_outcomes(recorder, ids, values, times))}

    # Sending.

    def flush(self) -> None:
        """Bring what was observed to the server, now; otherwise that happens once a second. Raises UnsentError."""
        self._usable()
        self._round()

    def status(self) -> dict[str, Any]:
        """How things stand: rows that wait, and that found no room; seconds that the server's clock is ahead."""
        self._usable()
        assert self._stream is not None
        journal = self._kept.recorder.journal
        counts = {"waiting": journal.written - self._stream.sent, "dropped": journal.dropped_total}
        about = {"model_version": self.version, "clock_ahead": self._link.offset}
        return {"status": "ok" if self.error is None else "degraded", **about, **counts, "error": self.error}

    @property
    def reference(self) -> Reference | None:
        """What the model is compared with; None if the server could not say yet."""
        return None if self._stream is None else self._stream.served.reference

    @property
    def version(self) -> str:
        """Name of the model version; "" if the server could not say yet."""
        return "" if self._stream is None else self._stream.served.version

    def _start(self) -> None:
        self._open, self._pid, self._looked = True, os.getpid(), -LOOK_EVERY
        self._sending, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="telltale-client", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        failures, due, rng = 0, 0.0, random.Random()
        while not self._stop.wait(EVERY * rng.uniform(0.8, 1.2)):
            for journal in self._stream.journals.values() if self._stream else ():
                journal.maintain()
                with suppress(OSError):  # it survives the process, if not a loss of power
                    journal.sync()
            if monotonic() < due:
                continue
            try:
                self._round()
                failures = 0
                self._say(self._oddity())
            except UnsentError as error:
                failures += 1
                wait = backoff(failures, rng) if error.after is None else error.after * rng.uniform(1.0, 1.5)
                due = monotonic() + wait
                if error.refused or failures > 2:
                    self._say(str(error))
            except Exception as error:  # noqa: BLE001 - whatever it is, it may be over by the next time
                due = monotonic() + LOOK_EVERY
                self._say(f"what was recorded cannot be sent: {error}")

    def _round(self) -> None:
        with self._sending:
            if self._stream is None:
                self._begin(*self._ask_model())
            assert self._stream is not None
            self._stream.send()
            if monotonic() - self._looked >= LOOK_EVERY:
                self._send_left()
                self._looked = monotonic()

    def _send_left(self) -> None:
        """Send what dead processes have left, but for what the server refuses. Raises UnsentError."""
        self._left = None
        for path in self._spool.glob(f"*/*/{JOURNAL}"):
            held = DataFolder(path.parent)
            try:
                held.open()
            except StoreError:
                continue  # its process lives
            try:
                served = Served.read((path.parent.parent / "model.json").read_bytes())
                stream = Stream(path.parent, served, self._link, {})
                stream.send()
                stream.finish()
            except (OSError, StoreError) as error:
                if isinstance(error, UnsentError) and not error.refused:
                    raise
                self._left = f"what another process has left in {path.parent} is not sent: {error}"
            finally:
                held.close()

    def _oddity(self) -> str | None:
        """What is not as it should be though all of this process is sent."""
        assert self._stream is not None
        served, offset = self._stream.served, self._link.offset
        if self._stream.watched != (served.version, served.reference.identity):
            now = f"the server watches version {self._stream.watched[0]} now, by another reference perhaps"
            return f"{now}; what is recorded here is counted for version {served.version}: connect again"
        if (drops := self._kept.recorder.journal.dropping) is not None:
            return f"predictions are not recorded: {drops.reason}"
        if abs(offset) > CLOCKS:
            return f"the clock of {self._link.url} is {offset:+.0f} seconds off from the one here"
        return self._left

    def _say(self, words: str | None) -> None:
        """Keep what is to be said, and log it if it is new."""
        if words != self.error:
            log.warning("%s", words or f"what is recorded reaches {self._link.url} again")
            self.error = words


def _spool_bytes(text: str) -> int:
    with suppress(ValueError, TypeError):
        if (spool_size := size(text)) >= LEAST_SPOOL:
            return spool_size
    raise ConfigError(f'spool_size: expected a size of 10 MB or more, such as "1GB", got {text!r}')


_opened: set[Client] = set()


def _after_fork() -> None:
    """In the child: begin a journal of its own with the first prediction."""
    for client in _opened:
        client._sending, client._record = threading.Lock(), client._record_forked
        if client._stream is None:
            client._start()


def _at_exit() -> None:
    for client in list(_opened):
        client.close()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
