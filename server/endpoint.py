"""Routes that programs call, as plain WSGI: JSON answers, errors in one form, failures of the model logged."""

from __future__ import annotations

import logging
import math
import secrets
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import NamedTuple
from wsgiref.types import StartResponse, WSGIEnvironment

from monitor.clock import Clock
from monitor.errors import InputError
from monitor.runtime import Runtime
from monitor.watched import Watched
from server.payload import error_body, short

log = logging.getLogger(__name__)

#: The status line's text for each code. Putting it together for each request would take 1 % of a prediction.
STATUS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class Answer(NamedTuple):
    """What a route answers."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


#: Answers one request. Raises InputError; whatever else it raises is logged, and answered with 500.
Respond = Callable[[WSGIEnvironment], Answer]


def not_allowed(path: str, methods: tuple[str, ...]) -> InputError:
    """A path does not take the request's method."""
    headers = (("Allow", ", ".join(methods)),)
    return InputError("method_not_allowed", f"{short(path, 200)} takes {methods[0]}", None, 405, headers)


def behind(message: str, seconds: int) -> InputError:
    """The store is behind what has come; `seconds` later it may be less so."""
    return InputError("behind", message, None, 429, (("Retry-After", str(seconds)),))


def refuse_if_behind(runtime: Runtime) -> None:
    """Raise InputError if more waits to be counted than the data folder should take."""
    if runtime.behind:
        raise behind("the store is behind what has come; nothing of this was recorded, send it again later", 5)


class Failures:
    """Logs failures of the model: one traceback a second for each kind; those in between share its id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[str, tuple[float, str]] = {}
        self._unlogged = 0

    def note(self, error: BaseException) -> str:
        """Log an error. Returns the id under which the log has it, or one of the same kind."""
        kind, now = type(error).__qualname__, self._clock.monotonic()
        with self._lock:
            at, error_id = self._last.get(kind, (-math.inf, ""))
            if now - at < 1.0:
                self._unlogged += 1
                return error_id
            error_id = secrets.token_hex(6)
            self._last[kind] = now, error_id
            unlogged, self._unlogged = self._unlogged, 0
        more = f" ({unlogged} more since the last such line)" if unlogged else ""
        log.error("prediction failed, error id %s%s", error_id, more, exc_info=error)
        return error_id


class Endpoint:
    """One route, of a model if it is `watched`. `error` writes the body of an error: code, message, where, error id."""

    def __init__(
        self,
        respond: Respond,
        runtime: Runtime,
        methods: tuple[str, ...] = ("POST",),
        error: Callable[..., bytes] = error_body,
        watched: Watched | None = None,
    ) -> None:
        self.respond, self.methods, self._error = respond, methods, error
        self._rejected = runtime.instruments.rejected
        self._instruments = runtime.instruments if watched is None else watched.instruments
        self._failures = Failures(runtime.clock)
        #: Raises InputError for who may not ask.
        self.check: Callable[[WSGIEnvironment], None] = lambda _: None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        answer = self.answer(environ)
        length = ("Content-Length", str(len(answer.body)))
        start_response(STATUS[answer.status], [("Content-Type", answer.content_type), length, *answer.headers])
        return [answer.body]

    def answer(self, environ: WSGIEnvironment) -> Answer:
        """Work the answer out, also that of a request that is refused or fails."""
        try:
            self.check(environ)
            if environ["REQUEST_METHOD"] not in self.methods:
                raise not_allowed(environ["PATH_INFO"], self.methods)
            return self.respond(environ)
        except InputError as error:
            self._rejected(error.code)
            return Answer(self._error(error.code, str(error), error.where), error.status, headers=error.headers)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a model does, the next one must be answered
            self._instruments.model_failed()
            error_id = self._failures.note(error)
            message = f"the model could not answer; the log has more under error id {error_id}"
            return Answer(self._error("model_failed", message, None, error_id), 500)
