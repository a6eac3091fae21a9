"""What people do on the pages: log in, log out, silence, accept a period as normal."""

from __future__ import annotations

import glob
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from flask import Blueprint, Response, current_app, g, redirect, request

from monitor.cli.reference import Effect, preview
from monitor.clock import DAY, iso
from monitor.columns.column import Role, clean_text, column_path
from monitor.config.settings import moment
from monitor.errors import InputError, StoreError
from monitor.outcomes.results import names_of
from monitor.report.column import changes as find_changes
from monitor.rules.alert import ENDED
from monitor.rules.silence import new_silence
from monitor.store.file.database import one_moment
from monitor.store.records.references import weigh
from monitor.watched import Watched
from server.guard import CHANGES_REFUSED, SESSION, Guard, local_path
from server.web.api import asked, runtime, shown
from server.web.pages import answer, prefix, several
from server.web.period import read

actions = Blueprint("actions", __name__)

#: What a silence can be for, at a click.
LENGTHS = (("1h", "1 hour"), ("4h", "4 hours"), ("1d", "1 day"), ("1w", "1 week"))

#: What a form's matchers are called, in the order of the form.
MATCHERS = ("column", "rule", "role", "severity", "model")

#: Most letters of a name or a reason.
MOST = 500


def guard() -> Guard:
    """Who may do what, in this application."""
    return cast(Guard, current_app.extensions["telltale_guard"])


def login_page(after: str, wrong: str, status: int = 200) -> Response:
    """The form that asks for the token."""
    return answer("login.html", status=status, after=local_path(after), wrong=wrong, has_token=guard().has_token)


@actions.route("/login", methods=["GET", "POST"])
def login() -> Response:
    """The form that asks for the token; give a session for the token."""
    if request.method != "POST":
        return login_page(request.args.get("next", "/"), "")
    after = request.form.get("next", "/")
    try:
        right = guard().log_in(request.form.get("token", "").strip(), request.remote_addr or "")
    except InputError as error:
        return login_page(after, f"{error}.".capitalize(), error.status)
    if not right:
        current_app.logger.warning("a login with a wrong token, from %s", request.remote_addr)
        return login_page(after, "That is not the token.", 401)
    return _session(local_path(after), guard().start_session(), SESSION)


@actions.post("/logout")
def logout() -> Response:
    """Have the browser forget its session."""
    return _session("/login", "", 0)


def _session(then: str, session: str, seconds: int) -> Response:
    """Set the session's cookie for `seconds`; the browser deletes it if that is 0."""
    response, gate = cast(Response, redirect(then, 303)), guard()
    response.set_cookie(
        gate.cookie, session, max_age=seconds, path="/", secure=gate.secure, httponly=True, samesite="Strict"
    )
    return response


@actions.route("/silence", methods=["GET", "POST"])
def silence() -> Response:
    """Show the form of a silence, or silence alerts for a while, as `telltale silence` does."""
    if request.method != "POST":
        return _silence_page(request.args, "")
    run, form = runtime(), request.form
    now, references = run.clock.time(), [model.reference for model in shown(run)]
    columns = [column.name for reference in references for column in reference.schema.columns]
    columns += [name for reference in references for name in names_of(reference.target)]
    author, reason = _texts(form, "author", "reason").values()
    try:
        made = new_silence(matchers(form), now, _end(form, now), author, reason, run.config.rules, columns)
    except InputError as error:
        if g.viewer.by == "session":
            return _silence_page(form, str(error), 400)
        raise
    run.change({"kind": "silence", "silence": {**asdict(made), "matchers": dict(made.matchers)}})
    return _confirm({"id": made.id, "until": iso(made.end)}, 201)


def _texts(form: Mapping[str, str], *names: str) -> dict[str, str]:
    """Texts of a form, by name, cleaned and cut."""
    return {name: clean_text(form.get(name, "").strip()[:MOST]) for name in names}


def _silence_page(form: Mapping[str, str], wrong: str, status: int = 200) -> Response:
    """The form of a silence, filled in, and what is wrong with it."""
    fields = {name: form.get(name, "") for name in (*MATCHERS, "for", "until", "author", "reason")}
    why_not = "" if g.viewer.csrf else "log in to use this form"
    if not guard().has_token:
        why_not = CHANGES_REFUSED
    named = " ".join(shlex.quote(f"{name}={fields[name]}") for name in MATCHERS if fields[name]) or "column=NAME"
    facts: dict[str, Any] = {"given": fields, "lengths": LENGTHS, "named": clean_text(named)}
    return answer("silence.html", status=status, wrong=wrong, why_not=why_not, **facts)


@actions.route("/accept", methods=["GET", "POST"])
def accept() -> Response:
    """Preview the acceptance of a period as a column's reference, or accept it, as `telltale reference accept` does."""
    run, accepts = runtime(), request.method == "POST"
    form = request.form if accepts else request.args
    model, name = run.find(asked()), form.get("column", "")
    role: Role = "prediction" if form.get("role") == "prediction" else "feature"
    fields = _texts(form, "from", "to", "author", "reason")
    effects: list[Effect] = []
    wrong, rows, status, changed = "", 0, 200, False
    try:
        if name not in (column.name for column in model.reference.schema.columns if column.role == role):
            raise InputError("no_column", f"the model has no {role} {clean_text(name)!r}", "column", 404)
        position = model.reference.schema.index(name, role)
        if not accepts and not fields["from"]:
            fields["from"], changed = _change_before_alert(model, position)
        span = read({key: fields[key] for key in ("from", "to")}, run.clock.time(), DAY, lambda _: [])
        least = max((rule.min_samples for rule in model.config.rules), default=1)
        with one_moment(run.folder.database) as connection:
            batch = weigh(connection, model.series, span, least)
            rows, effects = batch.n, list(preview(connection, model.config, model.series, [position], batch))
        if accepts:
            who_and_why = {key: fields[key] for key in ("author", "reason")}
            if missing := [key for key, text in who_and_why.items() if not text]:
                raise InputError("missing", f"a change needs its {missing[0]}, for those who find it later", missing[0])
            bounds = {"start": span.start, "end": span.end, "least": least, "model": model.name}
            run.change({"kind": "accept", **bounds, "columns": [position], **who_and_why})
            return _confirm({"from": iso(span.start), "to": iso(span.end)}, 201, column_path(role, name))
    except (InputError, StoreError) as error:
        if accepts and g.viewer.by != "session":
            raise error if isinstance(error, InputError) else InputError("refused", str(error)) from None
        # A period with too few predictions so far is no error of a page that only shows what a change would do.
        wrong, status = str(error), getattr(error, "status", 409 if accepts else 200)
    named = [*(["--model", model.name] if several(run) else []), glob.escape(name)]
    return answer(
        "accept.html",
        status=status,
        named=clean_text(shlex.join(named)),
        start=shlex.quote(fields["from"] or "24h"),
        given=fields,
        name=name,
        role=role,
        effects=effects,
        rows=rows,
        changed=changed,
        wrong=wrong,
        why_not="" if guard().has_token else CHANGES_REFUSED,
    )


def _change_before_alert(model: Watched, position: int) -> tuple[str, bool]:
    """Find when the change behind a column's oldest open alert began, and True; ("", False) without an open alert.

    If no change is found in its windows: the beginning of the alert, and False.
    """
    column, latest = model.reference.schema.columns[position], model.latest
    about = [alert for alert in latest.alerts.values() if (alert.role, alert.column) == (column.role, column.name)]
    up = [alert for alert in about if alert.state not in ENDED]
    if not up:
        return "", False
    began, rules = min(alert.began for alert in up), {alert.rule for alert in up}
    lengths = [judged.window.end - judged.window.start for judged in latest.judged if judged.rule.name in rules]
    start, end = began - 2 * max(lengths, default=DAY), runtime().clock.time()
    with one_moment(runtime().folder.database) as connection:
        _, onsets = find_changes(connection, model.series, position, model.config.window.base, start, end)
    before = [onset.start for onset in onsets if onset.start <= began]
    return iso(before[-1] if before else began // 60 * 60), bool(before)


@actions.post("/silence/expire")
def expire() -> Response:
    """End a silence now."""
    wanted = request.form.get("id", "")
    runtime().change({"kind": "expire", "id": wanted})
    current_app.logger.info("silence %s was ended from the page", wanted)
    return _confirm({"id": wanted}, 200)


def _confirm(result: dict[str, str], status: int, then: str = "/alerts") -> Response:
    """Redirect a browser to the page `then`, and send `result` to a program."""
    if g.viewer.by == "session":
        return cast(Response, redirect(prefix(runtime()) + then, 303))
    return current_app.make_response((result, status))


def matchers(form: Mapping[str, str]) -> dict[str, str]:
    """What a silence is for; fields that are empty match everything, and other labels are `label.NAME`.

    >>> matchers({"column": "bmi", "rule": "", "label.team": "credit", "reason": "x"})
    {'column': 'bmi', 'team': 'credit'}
    """
    named = {name: form.get(name, "") for name in MATCHERS}
    named |= {name.removeprefix("label."): text for name, text in form.items() if name.startswith("label.")}
    return {name: text[:MOST] for name, text in named.items() if text}


def _end(form: Mapping[str, str], now: float) -> float:
    try:
        return moment(form.get("until") or form.get("for") or "4h", now, ahead=True)
    except ValueError as error:
        raise InputError("time", clean_text(str(error)), "until" if form.get("until") else "for") from None
