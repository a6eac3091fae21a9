"""Who may do what: tokens, sessions, names, the class of every route, and silencing from the page."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.routing import Rule
from werkzeug.test import Client
from werkzeug.wrappers import Response as BaseResponse

from monitor.clock import ManualClock
from monitor.config.load import Config
from monitor.config.settings import ServerConfig
from monitor.errors import ConfigError, InputError
from monitor.notify.secret import Secret
from monitor.runtime import Runtime
from monitor.store.file.database import one_moment
from monitor.store.records import references
from monitor.store.records.alerts import list_silences
from server.__main__ import main
from server.guard import ACCESS, ADDRESSES, SESSION, WRONG_TOKENS, Guard, access_of, local_path
from server.predict import HOT_PATHS
from server.routes import create_application, program_routes
from server.web.app import create_app
from tests.server.scenes import NOON, opened

TOKEN = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
HTML = {"Accept": "text/html,*/*"}


class Site:
    """One drifting scene behind guards of several kinds."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    def client(self, token: str = TOKEN, hosts: tuple[str, ...] = (), protect: str = "pages") -> FlaskClient:
        config = ServerConfig(hosts=hosts, protect=protect)
        guard = Guard(Secret(token) if token else None, config, self.runtime.clock)
        return create_app(self.runtime, guard).test_client()

    def logged_in(self) -> FlaskClient:
        client = self.client()
        assert client.post("/login", data={"token": TOKEN}).status_code == 303
        return client

    def silences(self) -> list[Any]:
        with one_moment(self.runtime.folder.database) as connection:
            return list_silences(connection, self.runtime.clock.time())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with opened("drifting", tmp_path_factory.mktemp("guard")) as runtime:
        yield Site(runtime)


def rules(site: Site) -> list[tuple[str, Rule]]:
    """Every route of Flask with every method that it takes, OPTIONS and HEAD aside."""
    app = site.client().application
    return [
        (method, rule) for rule in app.url_map.iter_rules() for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    ]


def example(rule: Rule) -> str:
    """An address that a rule fits."""
    path = re.sub(r"<any\(.*\):role>", "feature", rule.rule).replace("<path:filename>", "page.css")
    assert "<" not in path, "say here how an address of this route looks"
    return path


def code(answer: BaseResponse) -> str:
    return str(json.loads(answer.get_data())["error"]["code"])


# Every route.


def test_routes_of_programs_and_no_others_that_are_gone_are_declared(site: Site) -> None:
    found = {f"{method} {rule.rule}" for method, rule in rules(site)}
    programs = {f"POST {path}" for path in {*HOT_PATHS, *program_routes(site.runtime, site.runtime.only, None)}}
    assert {ACCESS[path] for path in programs} == {"service"}
    assert set(ACCESS) <= found | programs, "declared, and gone"


def test_every_route_before_flask_is_guarded(site: Site) -> None:
    application = create_application(site.runtime, {site.runtime.only.name: None}, Guard())
    for path in program_routes(site.runtime, site.runtime.only, None):
        answer = Client(application).post(path, headers={"Origin": "http://evil.example"})
        assert (answer.status_code, code(answer)) == (403, "foreign_origin"), path


def test_every_route_does_what_its_class_says(site: Site) -> None:
    for method, rule in rules(site):
        if rule.rule == "/predict":
            continue  # not Flask's
        client = site.client()
        access, path = access_of(method, rule.rule), example(rule)
        with client.open(path, method=method) as answer:
            refused = answer.status_code == 401 and code(answer) == "no_token" if path != "/login" else False
            assert refused == (access in ("read", "change")), path
        with client.open(path, method=method, headers={"Authorization": "Bearer wrong"}) as answer:
            assert answer.status_code == 401 or access == "open", path
        with client.open(path, method=method, headers={**BEARER, "Host": "evil.example"}) as answer:
            assert (answer.status_code == 421) == (access in ("read", "change") or path == "/login"), path
        with client.open(path, method=method, headers=BEARER) as answer:
            assert answer.status_code not in (403, 421), path
            assert answer.status_code != 401 or path == "/login", path


def test_every_answer_has_the_protecting_headers(site: Site) -> None:
    for headers in ({}, BEARER, HTML, {"Host": "evil.example"}):
        for method, rule in rules(site):
            if rule.rule == "/predict":
                continue
            with site.client().open(example(rule), method=method, headers=headers) as answer:
                policy = answer.headers["Content-Security-Policy"]
                for part in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"):
                    assert part in policy
                assert "unsafe" not in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Referrer-Policy"] == "no-referrer"
                assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
                assert "Access-Control-Allow-Origin" not in answer.headers


def test_unknown_paths_and_methods_need_the_token_too(site: Site) -> None:
    client = site.client()
    for method, path in (("GET", "/nowhere"), ("DELETE", "/alerts"), ("PUT", "/silence"), ("GET", "/predict")):
        assert client.open(path, method=method).status_code == 401
        assert client.open(path, method=method, headers=BEARER).status_code in (404, 405)


# Without a token.


def test_without_a_token_everybody_may_look_and_nobody_change(site: Site) -> None:
    client = site.client(token="")
    for path in ("/", "/alerts", "/monitor", "/api/status", "/metrics", "/healthz"):
        assert client.get(path).status_code == 200
    for path in ("/silence", "/silence/expire", "/logout"):
        answer = client.post(path, data={"column": "bmi"})
        assert (answer.status_code, code(answer)) == (403, "no_token_set")
    assert "none is set" in client.get("/silence").get_data(as_text=True)
    assert 'type="password"' not in client.get("/login").get_data(as_text=True)
    assert client.post("/login", data={"token": ""}).status_code == 401
    link = re.search(r'href="(/silence\?column=bmi[^"]+)"', client.get("/alerts").get_data(as_text=True))
    assert link
    assert "silence column=bmi rule=drift role=feature --for" in client.get(html.unescape(link[1])).get_data(
        as_text=True
    )
    assert client.post("/accept", data={"column": "bmi"}).status_code == 403
    page = client.get("/accept?column=bmi&role=feature&from=2026-03-14T13:55:00Z").get_data(as_text=True)
    assert "reference accept bmi --from 2026-03-14T13:55:00Z --reason" in page
    assert "csrf" not in page


# With one.


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer ", "Basic x", TOKEN, f"Bearer {TOKEN}x", "Bearer \xff\xfe"])
def test_a_wrong_token_is_refused(site: Site, header: str) -> None:
    answer = site.client().get("/api/status", headers={"Authorization": header})
    assert (answer.status_code, code(answer)) == (401, "wrong_token")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert TOKEN not in answer.get_data(as_text=True)


def test_a_browser_is_shown_the_login_and_comes_back(site: Site) -> None:
    client = site.client()
    answer = client.get("/column/feature?name=bmi&from=1h", headers=HTML)
    text = answer.get_data(as_text=True)
    assert answer.status_code == 401
    assert 'name="next" value="/column/feature?name=bmi&amp;from=1h"' in text
    assert "v7" not in text, "nothing of the model is told"
    assert client.get("/api/status", headers=HTML).get_json()["error"]["code"] == "no_token"
    wrong = client.post("/login", data={"token": "nope", "next": "/alerts"}, headers=HTML)
    assert (wrong.status_code, "Set-Cookie" in wrong.headers) == (401, False)
    right = client.post("/login", data={"token": f" {TOKEN}\n", "next": "/alerts"}, headers={"Origin": "null"})
    assert (right.status_code, right.headers["Location"]) == (303, "/alerts")
    assert client.get("/", headers=HTML).status_code == 200


def test_the_cookie_is_not_the_token_and_stays_where_it_belongs(site: Site) -> None:
    answer = site.client().post("/login", data={"token": TOKEN})
    cookie = answer.headers["Set-Cookie"]
    assert TOKEN not in cookie
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    secure = create_app(site.runtime, Guard(Secret(TOKEN), ServerConfig(url="https://box.example"))).test_client()
    assert "Secure" in secure.post("/login", data={"token": TOKEN}).headers["Set-Cookie"]


def test_a_session_ends_by_itself_by_logout_and_with_its_token() -> None:
    clock = ManualClock(NOON)
    guard = Guard(Secret(TOKEN), clock=clock)
    cookie = guard.start_session()
    assert guard.viewer(None, cookie).by == "session"
    assert Guard(Secret(TOKEN), clock=clock).viewer(None, cookie).by == "session", "of another replica"
    assert Guard(Secret(TOKEN + "2"), clock=clock).viewer(None, cookie).by == "anonymous"
    clock.advance(SESSION)
    assert guard.viewer(None, cookie).by == "anonymous"


def test_logout(site: Site) -> None:
    client = site.logged_in()
    assert client.post("/logout").status_code == 403
    assert client.get("/").status_code == 200
    assert client.post("/logout", data={"csrf": csrf(client)}).headers["Location"] == "/login"
    assert client.get("/").status_code == 401


@given(st.text() | st.tuples(st.integers(), st.text()).map(lambda pair: f"{pair[0]}.{pair[1]}"), st.integers(0, 200))
def test_no_made_up_cookie_is_a_session(text: str, at: int) -> None:
    guard = Guard(Secret(TOKEN), clock=ManualClock(NOON))
    real = guard.start_session()
    at %= len(real)
    changed = f"{real[:at]}{'0' if real[at] != '0' else '1'}{real[at + 1 :]}"
    for cookie in (text, f"{real}{text}" if text else "", changed):
        assert guard.viewer(None, cookie).by == "anonymous"


@given(st.text())
def test_the_login_leads_nowhere_else(text: str) -> None:
    path = local_path(text)
    assert path.startswith("/")
    assert path[1:2] not in ("/", "\\")
    assert path.isascii()
    assert not re.search(r"\s", path)


def test_protect_all_leaves_only_the_probes(site: Site) -> None:
    client = site.client(protect="all")
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers=BEARER).status_code == 200
    assert [client.get(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]


# Routes that Flask does not see.


def hot(guard: Guard, **environ: str) -> int:
    """Status of a prediction behind the guard."""
    try:
        guard.check_program(environ)
    except InputError as error:
        return error.status
    return 200


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        ("http://localhost:5000", "localhost:5000", "200"),
        ("http://127.0.0.1:5000", "127.0.0.1:5000", "200"),
        ("http://[::1]:5000", "[::1]:5000", "200"),
        ("http://Localhost", "localhost:80", "200"),
        ("https://box.example", "127.0.0.1:5000", "200"),
        ("http://box.example:5000", "box.example:5000", "200"),
        ("https://drift.example:8443", "127.0.0.1:5000", "200"),
        ("http://drift.example:8443", "127.0.0.1:5000", "403"),
        ("https://drift.example", "127.0.0.1:5000", "403"),
        ("https://box.example:9", "127.0.0.1:5000", "403"),
        ("http://203.0.113.5", "127.0.0.1:5000", "403"),
        ("http://127.0.0.1:9", "127.0.0.1:5000", "403"),
        ("http://127.0.0.1", "127.0.0.1:5000", "403"),
        ("http://localhost:9", "localhost:5000", "403"),
        ("http://localhost:5000", "127.0.0.1:5000", "403"),
        ("http://evil.example:5000", "evil.example:5000", "403"),
        ("http://localhost.evil.example", "localhost", "403"),
        ("ftp://localhost:5000", "localhost:5000", "403"),
        ("null", "null", "403"),
        ("", "", "403"),
    ],
)
def test_predictions_are_not_taken_from_pages_of_other_sites(origin: str, host: str, status: str) -> None:
    guard = Guard(None, ServerConfig(hosts=("box.example",), url="https://drift.example:8443/telltale"))
    assert hot(guard, HTTP_ORIGIN=origin, HTTP_HOST=host) == int(status)


def test_wrong_tokens_have_a_brake_for_each_address() -> None:
    clock = ManualClock(1_750_000_000.0)
    guard = Guard(Secret(TOKEN), clock=clock)
    for number in range(WRONG_TOKENS):
        assert not guard.log_in(f"wrong {number}", "192.0.2.1")
    for sent in ("wrong", TOKEN):
        with pytest.raises(InputError, match="wrong tokens came from"):
            guard.log_in(sent, "192.0.2.1")
    assert guard.log_in(TOKEN, "192.0.2.2")
    clock.advance(61)
    assert guard.log_in(TOKEN, "192.0.2.1")
    for number in range(2 * ADDRESSES):
        guard.log_in("wrong", f"address {number}")
    assert len(guard._wrong) == ADDRESSES


def test_the_brake_is_answered_with_429(site: Site) -> None:
    client = site.client(TOKEN)
    for _ in range(WRONG_TOKENS):
        assert client.post("/login", data={"token": "wrong"}).status_code == 401
    answer = client.post("/login", data={"token": TOKEN})
    assert answer.status_code == 429
    assert "Set-Cookie" not in answer.headers
    by_header = client.get("/api/status", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (by_header.status_code, code(by_header)) == (429, "too_many_logins")
    assert by_header.headers["Retry-After"] == "60"


def test_predictions_need_the_token_only_under_protect_all() -> None:
    assert hot(Guard(Secret(TOKEN))) == 200
    strict = Guard(Secret(TOKEN), ServerConfig(protect="all"))
    assert hot(strict) == 401
    assert hot(strict, HTTP_AUTHORIZATION="Bearer wrong") == 401
    assert hot(strict, HTTP_AUTHORIZATION=f"Bearer {TOKEN}") == 200


# Names.


KNOWN = ["localhost", "127.0.0.1:5000", "[::1]:5000", "10.1.2.3", "app.localhost", "Box.example."]
UNKNOWN = ["evil.example:80", "evil.example", "localhost.evil.example", "a b", "127.0.0.1.evil.example", "<b>"]


@pytest.mark.parametrize("host", KNOWN)
def test_known_names(site: Site, host: str) -> None:
    assert site.client("", ("box.example",)).get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", UNKNOWN)
def test_other_names_are_refused_for_pages_but_not_for_scrapes(site: Site, host: str) -> None:
    client = site.client("", ("box.example",))
    for path in ("/", "/api/status", "/nowhere", "/login"):
        answer = client.get(path, headers={"Host": host})
        assert (answer.status_code, code(answer)) == (421, "unknown_host")
    for path in ("/metrics", "/healthz", "/readyz"):
        assert client.get(path, headers={"Host": host}).status_code == 200
    assert site.client("", ("*",)).get("/", headers={"Host": "evil.example"}).status_code == 200


def test_hosts_come_from_the_settings() -> None:
    text = '[server]\nhost = "box"\nurl = "https://drift.example:8443/x"\nhosts = ["Other"]\ntrust_network = true\n'
    guard = Guard.of(Config.from_text(text).server)
    assert [guard.knows(name) for name in ("box", "drift.example", "other", "x")] == [True, True, True, False]
    assert guard.secure


# The start.


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "box"])
def test_beyond_loopback_only_with_a_token(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--host", host]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no token is set" in line
    assert "--token-file" in line
    assert not list(tmp_path.iterdir()), "refused before anything is made"


def test_what_lets_it_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "token").chmod(0o600)
    monkeypatch.setenv("SOME_TOKEN", TOKEN)
    outside = '[server]\nhost = "0.0.0.0"\n'
    for more in (f'token_file = "{tmp_path / "token"}"', 'token_env = "SOME_TOKEN"'):
        guard = Guard.of(Config.from_text(f"{outside}{more}\n").server)
        assert guard.has_token
        assert guard.is_token(TOKEN)
    assert not Guard.of(Config.from_text(f"{outside}trust_network = true\n").server).has_token
    assert not Guard.of(Config.from_text("").server).has_token


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('token_env = "NOT_SET_AT_ALL"', "NOT_SET_AT_ALL"),
        ('token_file = "/nowhere/at/all"', "/nowhere/at/all"),
        ('token_env = "SHORT_TOKEN"', "shorter than 16"),
        ('protect = "all"', "needs a token"),
    ],
)
def test_what_does_not(text: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT_TOKEN", "hunter2")
    with pytest.raises(ConfigError, match=said) as caught:
        Guard.of(Config.from_text(f"[server]\n{text}\n").server)
    assert "hunter2" not in str(caught.value)


# Silencing.


def csrf(client: FlaskClient) -> str:
    """What the forms of a page carry."""
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', client.get("/alerts").get_data(as_text=True))
    assert found
    return found[1]


FORM = {"column": "bm*", "rule": "", "role": "", "severity": "", "for": "1h", "author": "Ada <b>", "reason": "planned"}


def test_silence_from_the_page_and_end_it(site: Site) -> None:
    client = site.logged_in()
    text = client.get("/alerts").get_data(as_text=True)
    link = re.search(r'href="(/silence\?column=bmi[^"]+)"', text)
    assert link
    form = client.get(link[1].replace("&amp;", "&")).get_data(as_text=True)
    assert 'name="column" value="bmi"' in form
    assert "http-equiv" not in form, "a form is not renewed away"
    answer = client.post("/silence", data={**FORM, "csrf": csrf(client)}, headers={"Origin": "null"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/alerts")
    (made,) = site.silences()
    assert (dict(made.matchers), made.author, made.reason) == ({"column": "bm*"}, "Ada <b>", "planned")
    assert made.end - made.start == 3600
    page = client.get("/alerts").get_data(as_text=True)
    assert "Ada &lt;b&gt;" in page
    assert f"silence {made.id} by" in page, "the alert says that nobody is told"
    ended = client.post("/silence/expire", data={"id": made.id, "csrf": csrf(client)})
    assert ended.status_code == 303
    assert site.silences() == []


def test_accept_from_the_page_with_a_preview(site: Site) -> None:
    client = site.logged_in()
    link = re.search(r'href="(/accept\?column=bmi[^"]+)"', client.get("/").get_data(as_text=True))
    assert link
    form = client.get(html.unescape(link[1])).get_data(as_text=True)
    assert re.search(r"drift</span></td><td><span class=\"badge ok", form), "it fires, and would not"
    assert 'name="from" value="2026-03-14T13:50:00Z"' in form, "it shifted five minutes before an evaluation found that"
    assert "It begins when the column changed" in form
    quiet = client.get("/accept?column=age&role=feature").get_data(as_text=True)
    assert ('name="from" value=""' in quiet, "It begins" in quiet) == (True, False), "it has no alert"
    given = {
        "column": "bmi",
        "role": "feature",
        "from": "2026-03-14T13:55:00Z",
        "author": "Ada",
        "reason": "new scales",
    }
    refused = client.post("/accept", data={**given, "reason": " ", "csrf": csrf(client)})
    assert (refused.status_code, "a change needs its reason" in refused.get_data(as_text=True)) == (400, True)
    later = {**given, "from": "2026-03-14T15:00:30Z"}
    asked, given_up = (
        client.get("/accept", query_string=later),
        client.post("/accept", data=later | {"csrf": csrf(client)}),
    )
    for answer, status in ((asked, 200), (given_up, 409)):
        assert (answer.status_code, "needs 50" in answer.get_data(as_text=True)) == (status, True)
    assert client.get("/accept?column=nope").status_code == 404
    with one_moment(site.runtime.folder.database) as connection:
        assert references.changes(connection) == []
    answer = client.post("/accept", data={**given, "csrf": csrf(client)}, headers={"Origin": "null"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/column/feature?name=bmi")
    with one_moment(site.runtime.folder.database) as connection:
        (change,) = references.changes(connection)
    assert (change["columns"], change["author"], change["reason"]) == (["bmi"], "Ada", "new scales")


def test_the_report_of_a_period_is_a_file(site: Site) -> None:
    link = re.search(r'href="(/report\?from=[^"]+)"', site.logged_in().get("/").get_data(as_text=True))
    assert link
    answer = site.logged_in().get(html.unescape(link[1]))
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=report-2026-03-14T")
    assert "glucose" in answer.get_data(as_text=True)


def test_programs_silence_with_the_header(site: Site) -> None:
    client = site.client()
    answer = client.post("/silence", data={**FORM, "for": "", "until": "2026-03-15T00:00Z"}, headers=BEARER)
    assert answer.status_code == 201
    (made,) = site.silences()
    assert answer.get_json() == {"id": made.id, "until": "2026-03-15T00:00:00Z"}
    assert client.post("/silence/expire", data={"id": made.id}, headers=BEARER).status_code == 200
    gone = client.post("/silence/expire", data={"id": made.id}, headers=BEARER)
    assert (gone.status_code, code(gone)) == (404, "no_silence")


@pytest.mark.parametrize(
    "change", [{"column": ""}, {"column": "*"}, {"author": " "}, {"reason": ""}, {"for": "soon"}, {"label.nope": "x"}]
)
def test_a_silence_that_is_none_is_refused_and_the_form_kept(site: Site, change: dict[str, str]) -> None:
    client = site.logged_in()
    answer = client.post("/silence", data={**FORM, **change, "csrf": csrf(client)})
    assert answer.status_code == 400
    text = answer.get_data(as_text=True)
    assert 'role="alert"' in text
    assert "reason" in change or 'value="planned"' in text
    assert site.client().post("/silence", data={**FORM, **change}, headers=BEARER).status_code == 400
    assert site.silences() == []


@pytest.mark.parametrize("path", ["/silence", "/silence/expire"])
def test_a_cookie_alone_changes_nothing(site: Site, path: str) -> None:
    client, other = site.logged_in(), site.logged_in()
    for forged in ({}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": csrf(other)}, {"csrf": "\udcff"}):
        answer = client.post(path, data={**FORM, **{k: v.encode("utf-8", "replace") for k, v in forged.items()}})
        assert (answer.status_code, code(answer)) == (403, "stale_form")
    foreign = client.post(path, data={**FORM, "csrf": csrf(client)}, headers={"Origin": "http://evil.example"})
    assert (foreign.status_code, code(foreign)) == (403, "foreign_origin")
    assert client.get(path, query_string={**FORM, "csrf": csrf(client)}).status_code in (200, 405)
    assert site.silences() == []


def test_a_guard_says_no_by_raising() -> None:
    with pytest.raises(InputError, match="not known as"):
        Guard().check_host("evil.example")
