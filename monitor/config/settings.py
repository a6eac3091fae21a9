"""Every setting as one row: key, default, type and help.

The tables are what `monitor.config` checks a file against, what `config.toml` and `docs/settings.md` are held to by a
test, and what an error names the nearest key from.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from monitor.clock import from_iso
from monitor.rules.rule import SEVERITIES

STATISTICS = ("auto", "ks", "kl", "psi", "js", "wasserstein", "chi2", "missing", "other")
RECEIVER_KINDS = ("slack", "slack-bot", "telegram", "webhook", "alertmanager", "apprise", "log")

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31_536_000.0}
_SIZES = {"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def duration(text: str) -> float:
    """Read a duration such as "30s", "5m", "1h30m" or "1d" as seconds. Raises ValueError.

    >>> duration("1h30m"), duration("250ms"), duration("0s")
    (5400.0, 0.25, 0.0)
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w|y)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f'not a duration: {text!r}; write it as "30s", "5m", "1h30m" or "1d"')
    return float(sum(float(number) * _UNITS[unit] for number, unit in parts))


def duration_text(seconds: float) -> str:
    """Write seconds as `duration` reads them, in the fewest parts.

    >>> duration_text(5400), duration_text(60), duration_text(0), duration_text(0.25)
    ('1h30m', '1m', '0s', '250ms')
    """
    if seconds and seconds < 1:
        return f"{round(seconds * 1000)}ms"
    rest, out = round(seconds), ""
    for unit in ("d", "h", "m", "s"):
        whole, rest = divmod(rest, int(_UNITS[unit]))
        out += f"{whole}{unit}" if whole else ""
    return out or "0s"


def size(text: str) -> int:
    """Read a size such as "500MB" or "2GiB" as bytes. Raises ValueError.

    >>> size("1GB"), size("64KiB")
    (1000000000, 65536)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(B|[KMG]i?B)", text)
    if not match:
        raise ValueError(f'not a size: {text!r}; write it as "500MB" or "2GiB"')
    return int(float(match[1]) * _SIZES[match[2]])


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table: what a key means and how it is read."""

    key: str
    default: Any
    help: str
    read: Callable[[Any], Any]
    expected: str


def _typed(
    kind: type, expected: str, check: Callable[[Any], bool] = lambda _: True
) -> tuple[Callable[[Any], Any], str]:
    def read(value: Any) -> Any:
        wrong_bool = isinstance(value, bool) and kind is not bool
        if kind is float and isinstance(value, int) and not wrong_bool:
            value = float(value)
        if not isinstance(value, kind) or wrong_bool or not check(value):
            raise ValueError(f"expected {expected}, got {value!r}")
        return value

    return read, expected


def _parsed(
    parse: Callable[[str], Any], expected: str, check: Callable[[Any], bool] = lambda _: True
) -> tuple[Any, str]:
    def read(value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError(f"expected {expected}, got {value!r}")
        result = parse(value)
        if not check(result):
            raise ValueError(f"expected {expected}, got {value!r}")
        return result

    return read, expected


def _texts(expected: str) -> tuple[Callable[[Any], Any], str]:
    def read(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError(f"expected {expected}, got {value!r}")
        return tuple(value)

    return read, expected


def _one_of(*choices: str) -> tuple[Callable[[Any], Any], str]:
    expected = "one of " + ", ".join(f'"{choice}"' for choice in choices)

    def read(value: Any) -> Any:
        if value not in choices:
            near = difflib.get_close_matches(str(value), choices, 1)
            raise ValueError(f"expected {expected}, got {value!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return value

    return read, expected


def _labels(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError(f'expected a table of texts such as {{ team = "credit" }}, got {value!r}')
    for name in value:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"{name!r} cannot be a label's name: use letters, digits and _")
    return dict(value)


TEXT = _typed(str, "a text")
NAME = _typed(str, "a text that is not empty", bool)
YES_NO = _typed(bool, "true or false")
PORT = _typed(int, "a port, 0 to 65535 (0 takes any free one)", lambda n: 0 <= n <= 65535)
POSITIVE = _typed(int, "a whole number of at least 1", lambda n: n >= 1)
PROBABILITY = _typed(float, "a probability between 0 and 1, both excluded", lambda p: 0 < p < 1)
FLOOR = _typed(float, "a number of at least 0", lambda x: 0 <= x < math.inf)
DURATION = _parsed(duration, 'a duration such as "30s", "5m" or "1d"')
POSITIVE_DURATION = _parsed(duration, 'a duration of more than zero, such as "30s"', lambda s: s > 0)
WINDOW_BASE = _parsed(
    duration, 'a whole number of seconds that divides an hour, such as "1m"', lambda s: s >= 1 and 3600 % s == 0
)
SIZE = _parsed(size, 'a size of at least "10MB"', lambda n: n >= 10_000_000)


def _spans(value: Any) -> tuple[tuple[float, float], ...]:
    """Days, or moments, from and to; a day at the end is meant whole."""
    if not isinstance(value, list):
        raise ValueError(f"expected {QUIET_EXPECTED}, got {value!r}")
    out = []
    for item in value:
        first, _, last = item.partition("/") if isinstance(item, str) else ("", "", "")
        try:
            start, end = from_iso(first), from_iso(last or first) + (86400.0 if len(last or first) == 10 else 0.0)
        except ValueError:
            raise ValueError(f"expected {QUIET_EXPECTED}, got {item!r}") from None
        if end <= start:
            raise ValueError(f"{item!r} ends before it begins")
        out.append((start, end))
    return tuple(out)


def _hours(value: Any) -> tuple[int, ...]:
    lengths = [duration(item) for item in value] if isinstance(value, list) and all(map(_is_text, value)) else [0.5]
    if any(length < 3600 or length % 3600 or length > 7 * 86400 for length in lengths):
        raise ValueError(f"expected {HOURS_EXPECTED}, got {value!r}")
    return tuple(sorted({round(length / 3600) for length in lengths}))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _timezone(value: Any) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, TypeError, OSError, ZoneInfoNotFoundError):
        near = difflib.get_close_matches(str(value), available_timezones(), 1, 0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"there is no time zone {value!r}{hint}") from None
    return str(value)


QUIET_EXPECTED = 'a list of days such as "2026-12-24/2026-12-26"'
HOURS_EXPECTED = 'a list of whole hours up to 7d, such as ["6h", "1d"]'
QUIET = (_spans, QUIET_EXPECTED)
HOURS = (_hours, HOURS_EXPECTED)
TIMEZONE = (_timezone, "a time zone")
ALERTS = _typed(float, "a number above 0", lambda x: 0 < x < math.inf)


def _row(key: str, default: Any, kind: tuple[Callable[[Any], Any], str], text: str) -> Setting:
    return Setting(key, default, text, *kind)


# fmt: off
SETTINGS: dict[str, tuple[Setting, ...]] = {
    "model": (
        _row("name", "model", NAME, "What people call the model: its name in messages, tables and the API. It stays over versions; another name is another model."),
        _row("path", "model.pkl", TEXT, "File of the fitted model (.pkl, .joblib, .skops or .onnx), relative to the folder that the command runs in; empty serves no model and takes observations only."),
        _row("reference", "histogram.prom", TEXT, "File of the reference that `python -m train` wrote beside the model."),
        _row("missing", "refuse", _one_of("refuse", "allow"), 'A null or NaN in a feature: "refuse" answers 422, "allow" hands it to the model and counts it as missing.'),
        _row("version", "", TEXT, "Name of the model version in metrics, tables and messages; empty takes the first 12 digits of the model file's SHA-256."),
        _row("proba", False, YES_NO, "Record a classifier's probabilities as well, one prediction column `proba_CLASS` for each class; the reference must have these columns."),
    ),
    "server": (
        _row("host", "127.0.0.1", TEXT, "Address to listen on."),
        _row("port", 5000, PORT, "Port to listen on; 0 takes any free one and prints it."),
        _row("threads", 4, POSITIVE, "Threads that answer requests."),
        _row("url", "", TEXT, "Address under which people reach the page, for links in messages; empty takes http://HOST:PORT."),
        _row("max_body", "1MiB", _parsed(size, 'a size such as "1MiB"', lambda n: n >= 1000), "Largest request body; a larger one is refused with 413 before it is read."),
        _row("max_bulk", "64MiB", _parsed(size, 'a size such as "64MiB"', lambda n: n >= 1000), "Largest body of lines (NDJSON) for POST /observe; it waits in a temporary file, and is read in bounded memory."),
        _row("token_env", "", TEXT, "Environment variable that holds the token for pages and API; needed to listen beyond loopback, and to silence from the page."),
        _row("token_file", "", TEXT, "File that holds the token, 16 characters or more."),
        _row("protect", "pages", _one_of("pages", "all"), 'What the token is needed for, where there is one: "pages" leaves predictions, observations and /metrics open, "all" only /healthz and /readyz.'),
        _row("hosts", [], _texts("a list of names"), 'Names under which pages and API may be asked for, besides localhost, addresses, and the hosts of host and url; "*" is any.'),
        _row("trust_network", False, YES_NO, "Listen beyond loopback without a token: everybody who can reach the address is trusted to look."),
    ),
    "data": (
        _row("path", "data", TEXT, "Folder of the database, the journal and the lock; made if there is none."),
        _row("keep_minutes", "7d", POSITIVE_DURATION, "Age at which base windows have been rolled up into hours and are dropped."),
        _row("keep_hours", "120d", POSITIVE_DURATION, "Age at which hour windows have been rolled up into days and are dropped."),
        _row("keep", "3y", POSITIVE_DURATION, "Age at which everything is dropped: days, verdicts, alert events, notifications."),
        _row("keep_unseen", 100, _typed(int, "a whole number of 0 to 1000", lambda n: 0 <= n <= 1000), "Values of a categorical column that the reference does not have and that are kept by name, at most; 0 keeps none. All of them are counted. A column that is not watched by category keeps none."),
        _row("max_size", "2GB", SIZE, "Most bytes that the data folder takes; the oldest data go first. A hard cap."),
        _row("segment", "4MiB", _parsed(size, "a size of 64KiB to 256MiB", lambda n: 65536 <= n <= 2**28), "Size of one journal segment, allocated ahead."),
        _row("sync", "1s", DURATION, "The journal reaches the disk at least this often, against loss of power; a crash of the process loses nothing."),
    ),
    "window": (
        _row("base", "1m", WINDOW_BASE, "Length of the base window, aligned to UTC."),
        _row("fold", "1s", POSITIVE_DURATION, "How often new journal records are folded into the windows."),
    ),
    "drift": (
        _row("every", "1m", POSITIVE_DURATION, "How often drift is worked out."),
        _row("window", "30m", POSITIVE_DURATION, "Length of the test window that a rule compares with the reference."),
        _row("alpha", 0.00015, PROBABILITY, "Probability that one evaluation of a rule names any column although nothing has drifted; shared out over its columns."),
        _row("alerts", 1.0, ALERTS, "How many messages a month about unusual windows you accept for the model; shared out over its columns and the two windows."),
        _row("windows", [], HOURS, "Lengths of the windows in which something may be unusual, whole hours; empty takes a short and a long one that suit the traffic."),
        _row("timezone", "UTC", TIMEZONE, "Time zone of the hour of the week in which something is usual, with its daylight saving, such as \"Europe/Berlin\"."),
        _row("quiet", [], QUIET, "Days that are known to be unusual, such as \"2026-12-24/2026-12-26\", both included: no alert, and nothing is learnt from them."),
        _row("min_samples", 50, POSITIVE, "Fewer predictions than this in the test window give no verdict: the state is `insufficient data`."),
    ),
    "metrics": (
        _row("boxkite", False, YES_NO, "Expose Boxkite's metric names as well, so that its dashboard works unchanged."),
        _row("max_series", 200_000, POSITIVE, "Most series on /metrics; whole columns beyond it are left out and counted."),
    ),
    "alerts": (
        _row("repeat", "0s", DURATION, "A group that still fires is sent again after this long; 0s: never."),
        _row("group_wait", "0s", DURATION, "Wait this long after a first alert for others to join its message."),
        _row("receivers", [], _texts("a list of receiver names"), "Receivers of rules that name none; empty takes all that are configured."),
    ),
}

RULE_SETTINGS: tuple[Setting, ...] = (
    _row("name", None, TEXT, "Name of the rule, unique; required."),
    _row("preset", "", _one_of("", "boxkite"), "A ready-made set of rules instead of one: `boxkite` has the tutorial's own alerts. Takes no other key."),
    _row("columns", [], _texts("a list of column names, globs or roles such as role:feature"), "Columns it covers: names, globs such as `s*`, or a role: `role:feature`, `role:prediction`, `role:derived`; empty covers all."),
    _row("statistic", "auto", _one_of(*STATISTICS), "What is compared: `auto` takes ks and wasserstein for numeric and kl for categorical columns, and missing and other for both."),
    _row("window", None, POSITIVE_DURATION, "Length of its test window; the default is [drift] window, or with reference = \"usual\" [drift] windows."),
    _row("reference", "training", TEXT, 'What it compares with: "usual" (what the last weeks let expect at this hour), "training" or "FROM/TO" in ISO 8601.'),
    _row("alerts", None, ALERTS, 'With reference = "usual": the messages a month that you accept; the default is [drift] alerts.'),
    _row("alpha", None, PROBABILITY, "Its false-alarm probability; the default is [drift] alpha."),
    _row("floor", None, FLOOR, "Smallest value of the statistic that matters; the default is the statistic's own. With `auto`, `wasserstein` takes 2.5 times as much."),
    _row("min_samples", None, POSITIVE, "Its least number of predictions; the default is [drift] min_samples."),
    _row("max_age", "0s", DURATION, "On low traffic the window may reach back this far until it has min_samples; 0s means not at all."),
    _row("independent", False, YES_NO, "Count the rows of a window as independent draws, even if windows of the first weeks scatter by more than that."),
    _row("for", "0s", DURATION, "How long its condition must hold, seen at each evaluation, before the alert fires."),
    _row("keep_firing_for", None, DURATION, 'How long the condition must be gone before the alert resolves; 5m, and a day with reference = "usual".'),
    _row("reopen", None, DURATION, 'An alert that comes back within this long goes on silently; 15m, and 7d with reference = "usual" and for the default rules.'),
    _row("severity", "warning", _one_of(*SEVERITIES), "Severity of its alerts."),
    _row("labels", {}, (_labels, "a table of texts"), "Labels added to its alerts, for routing."),
    _row("receivers", [], _texts("a list of receiver names"), "Who is told; empty takes [alerts] receivers."),
)

RECEIVER_SETTINGS: tuple[Setting, ...] = (
    _row("kind", None, _one_of(*RECEIVER_KINDS), "What the receiver is; required."),
    _row("url", "", TEXT, "Address of a Slack webhook, webhook or Alertmanager; prefer url_env or url_file for a secret one."),
    _row("url_env", "", TEXT, "Environment variable that holds the address."),
    _row("url_file", "", TEXT, "File that holds the address."),
    _row("token_env", "", TEXT, "Environment variable that holds the bot's token (Telegram, Slack bot) or the signing key (webhook)."),
    _row("token_file", "", TEXT, "File that holds the token or the key."),
    _row("chat_id", "", TEXT, "Telegram chat to write to."),
    _row("api_url", "https://api.telegram.org", TEXT, "Telegram Bot API server."),
    _row("channel", "", TEXT, "Slack channel of a bot."),
    _row("severities", [], _texts("a list of severities"), "Send only alerts of these severities; empty sends all."),
    _row("match", {}, (_labels, "a table of texts"), "Send only alerts that carry all of these labels (rule, column, role and the rule's own)."),
    _row("resolved", True, YES_NO, "Send a message when the alerts of a group are over."),
)
