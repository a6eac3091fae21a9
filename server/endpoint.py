"""Routes beside the hot one that programs call, as plain WSGI: bodies read, JSON answered, errors like all others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import NamedTuple
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from monitor.errors import InputError
from monitor.runtime import Runtime
from server.payload import error_body, short
from server.predict import Failures


class Answer(NamedTuple):
    """What a route answers."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


#: Answers one request. Raises InputError; whatever else it raises is logged, and answered with 500.
Respond = Callable[[WSGIEnvironment], Answer]


class Endpoint:
    """One route. `error` writes the body of an error: code, message, where, error id."""

    def __init__(
        self,
        respond: Respond,
        runtime: Runtime,
        methods: tuple[str, ...] = ("POST",),
        error: Callable[..., bytes] = error_body,
    ) -> None:
        self.respond, self.methods, self._error = respond, methods, error
        self._instruments = runtime.instruments
        self._failures = Failures(runtime.clock)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        try:
            if environ["REQUEST_METHOD"] in self.methods:
                answer = self.respond(environ)
            else:
                answer = self.not_allowed(environ, self.methods)
        except InputError as error:
            self._instruments.rejected(error.code)
            answer = Answer(self._error(error.code, str(error), error.where), error.status)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a model does, the next one must be answered
            self._instruments.model_failed()
            error_id = self._failures.note(error)
            message = f"the model could not answer; the log has more under error id {error_id}"
            answer = Answer(self._error("model_failed", message, None, error_id), 500)
        status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
        length = ("Content-Length", str(len(answer.body)))
        start_response(status, [("Content-Type", answer.content_type), length, *answer.headers])
        return [answer.body]

    def not_allowed(self, environ: WSGIEnvironment, methods: tuple[str, ...]) -> Answer:
        """Refuse a request for its method."""
        self._instruments.rejected("method_not_allowed")
        body = self._error("method_not_allowed", f"{short(environ['PATH_INFO'], 200)} takes {methods[0]}", None)
        return Answer(body, 405, headers=(("Allow", ", ".join(methods)),))


def routes(table: Mapping[str, WSGIApplication], rest: WSGIApplication) -> WSGIApplication:
    """Answer the paths of `table`, and those below a key that ends in `/`; all others are the rest's."""
    prefixes = tuple(path for path in table if path.endswith("/"))

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        found = table.get(path)
        if found is None and path.startswith(prefixes):
            found = table[next(prefix for prefix in prefixes if path.startswith(prefix))]
        return (found or rest)(environ, start_response)

    return application
