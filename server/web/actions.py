"""What people do on the pages: log in, log out, silence. And the guard, put in front of all that Flask answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from flask import Blueprint, Flask, Response, current_app, g, redirect, request
from werkzeug.datastructures import MultiDict

from monitor.clock import from_iso, iso
from monitor.columns.column import clean_text
from monitor.config.settings import duration
from monitor.errors import InputError
from monitor.rules.silence import new_silence
from monitor.store.file.database import one_moment
from monitor.store.records import command_inbox as inbox
from monitor.store.records.alerts import list_silences
from server.guard import NOBODY_CHANGES, SESSION, Guard, Viewer, access_of, challenge, local_path
from server.payload import error_body
from server.web.api import runtime
from server.web.pages import answer
from server.web.views import View

actions = Blueprint("actions", __name__)

#: What a silence can be for, at a click.
LENGTHS = (("1h", "1 hour"), ("4h", "4 hours"), ("1d", "1 day"), ("1w", "1 week"))

#: What a form's matchers are called, in the order of the form.
MATCHERS = ("column", "rule", "role", "severity")

#: Most letters of a name or a reason.
MOST = 500


def protect(app: Flask, guard: Guard) -> None:
    """Have every request that reaches Flask checked before anything else is done with it."""
    app.extensions["telltale_guard"] = guard

    @app.before_request
    def check() -> Response | None:
        g.viewer = Viewer()
        access = access_of(request.method, request.url_rule.rule if request.url_rule else None)
        try:
            if access in ("read", "change") or request.path == "/login":
                guard.check_host(request.headers.get("Host", ""))
            origin = request.headers.get("Origin")
            # A form of our own says "null", since our pages tell browsers to send no referrer; it has a CSRF token.
            if request.method not in ("GET", "HEAD", "OPTIONS") and (access == "service" or origin != "null"):
                guard.check_origin(origin, request.headers.get("Host"))
            if access != "open":
                token, cookie = request.headers.get("Authorization"), request.cookies.get(guard.cookie)
                g.viewer = guard.viewer(token, cookie, "" if access == "service" else request.remote_addr or "")
                guard.admit(access, g.viewer, lambda: request.form.get("csrf", ""))
        except InputError as error:
            if error.status == 401 and _by_browser():
                here = request.full_path.rstrip("?") if request.method == "GET" else "/alerts"
                return login_page(here, "", 401)
            body = error_body(error.code, str(error), error.where)
            return Response(body, error.status, challenge(error), content_type="application/json")
        return None


def _by_browser() -> bool:
    return "text/html" in request.headers.get("Accept", "") and not request.path.startswith("/api/")


def guard() -> Guard:
    """The guard of this application."""
    return cast(Guard, current_app.extensions["telltale_guard"])


def login_page(after: str, wrong: str, status: int = 200) -> Response:
    """The form that asks for the token."""
    context = {"title": "Log in", "after": local_path(after), "wrong": wrong, "has_token": guard().has_token}
    return answer(View("login.html", context, [], status))


@actions.get("/login")
def login_form() -> Response:
    """The form that asks for the token."""
    return login_page(request.args.get("next", "/"), "")


@actions.post("/login")
def login() -> Response:
    """Give a session for the token."""
    after, gate = local_path(request.form.get("next", "/")), guard()
    try:
        right = gate.log_in(request.form.get("token", "").strip(), request.remote_addr or "")
    except InputError as error:
        return login_page(after, f"{error}.".capitalize(), error.status)
    if not right:
        current_app.logger.warning("a login with a wrong token, from %s", request.remote_addr)
        return login_page(after, "That is not the token.", 401)
    response = cast(Response, redirect(after, 303))
    response.set_cookie(
        gate.cookie,
        gate.start_session(),
        max_age=SESSION,
        path="/",
        secure=gate.secure,
        httponly=True,
        samesite="Strict",
    )
    return response


@actions.post("/logout")
def logout() -> Response:
    """Have the browser forget its session."""
    response = cast(Response, redirect("/login", 303))
    response.delete_cookie(guard().cookie, path="/", secure=guard().secure, httponly=True, samesite="Strict")
    return response


@actions.get("/silence")
def silence_form() -> Response:
    """The form of a silence, filled in with what the address says; of a page of its own, since it is not renewed."""
    return silence_page(request.args, "")


def silence_page(given: Mapping[str, str], wrong: str, status: int = 200) -> Response:
    """The form of a silence, and what is wrong with it."""
    fields = {name: given.get(name, "") for name in (*MATCHERS, "for", "until", "author", "reason")}
    context = {"title": "Silence", "given": fields, "lengths": LENGTHS, "wrong": wrong, "why_not": _why_not()}
    return answer(View("silence.html", context, [], status))


def _why_not() -> str:
    """Why this viewer cannot change anything here; empty where nothing is in the way."""
    if not guard().has_token:
        return NOBODY_CHANGES
    return "" if g.viewer.csrf else "log in to use this form"


@actions.post("/silence")
def silence() -> Response:
    """Mute alerts for a while, as `python -m monitor silence` does."""
    run, given = runtime(), request.form
    now = run.clock.time()
    try:
        made = new_silence(
            matchers(given),
            now,
            _end(given, now),
            _text(given, "author"),
            _text(given, "reason"),
            run.config.rules,
            [column.name for column in run.only.reference.schema.columns],
        )
    except InputError as error:
        if g.viewer.by == "session":
            return silence_page(given, str(error), 400)
        raise
    change({"kind": "silence", "silence": {**asdict(made), "matchers": dict(made.matchers)}})
    return done({"id": made.id, "until": iso(made.end)}, 201)


@actions.post("/silence/expire")
def expire() -> Response:
    """End a silence now."""
    wanted = request.form.get("id", "")
    with one_moment(runtime().folder.database) as connection:
        known = [one.id for one in list_silences(connection, runtime().clock.time())]
    if wanted not in known:
        raise InputError("no_silence", f"no silence {clean_text(wanted)!r} is in force or to come", "id", 404)
    change({"kind": "expire", "id": wanted})
    current_app.logger.info("silence %s was ended from the page", wanted)
    return done({"id": wanted}, 200)


def change(what: Mapping[str, Any]) -> None:
    """Have a request applied by the writer, in a transaction; the same requests as commands leave in the inbox."""
    run = runtime()
    now = run.clock.time()
    run.writer.call(lambda connection: inbox.apply(connection, what, now))


def done(said: dict[str, str], status: int) -> Response:
    """Lead people back to the alerts, and tell programs what was made."""
    if g.viewer.by == "session":
        return cast(Response, redirect("/alerts", 303))
    response = cast(Response, current_app.json.response(said))
    response.status_code = status
    return response


def matchers(given: Mapping[str, str]) -> dict[str, str]:
    """What a silence is for; fields that are empty match everything, and other labels are `label.NAME`.

    >>> matchers({"column": "bmi", "rule": "", "label.team": "credit", "reason": "x"})
    {'column': 'bmi', 'team': 'credit'}
    """
    named = {name: given.get(name, "") for name in MATCHERS}
    named |= {name.removeprefix("label."): text for name, text in given.items() if name.startswith("label.")}
    return {name: text[:MOST] for name, text in named.items() if text}


def _text(given: MultiDict[str, str], name: str) -> str:
    return clean_text(given.get(name, "").strip()[:MOST])


def _end(given: MultiDict[str, str], now: float) -> float:
    try:
        return from_iso(given["until"]) if given.get("until") else now + duration(given.get("for") or "4h")
    except ValueError as error:
        raise InputError("time", clean_text(str(error)), "until" if given.get("until") else "for") from None
