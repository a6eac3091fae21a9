"""Every setting as one row: key, default, type and help. A section is a dataclass, and its fields are the rows.

A file is checked against these rows, and `config.toml` and `docs/settings.md` are written from them.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from monitor.clock import FAR, from_iso
from monitor.rules.rule import PERFORMANCE_STATISTICS, SEVERITIES, TRAFFIC, is_performance
from monitor.words import STATISTIC_NAMES

_STATISTICS = ("auto", *STATISTIC_NAMES, *PERFORMANCE_STATISTICS)
RECEIVER_KINDS = ("slack", "slack-bot", "telegram", "webhook", "alertmanager", "apprise", "log")

#: The source of predictions that this process is given; the other kinds are pulled.
JOURNAL = "journal"
#: Days of the week, and how often there is a report.
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
EVERY = ("day", *DAYS, "month")
#: What a source that is pulled cannot do without, by kind.
NEEDED: dict[str, tuple[str, ...]] = {"prometheus": ("url",), "scrape": ("targets",), "table": ("time",)}

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


def moment(text: str, now: float, ahead: bool = False) -> float:
    """Read a moment, in seconds since 1970 UTC. Raises ValueError.

    ISO 8601; how long before `now` it is, or after it if `ahead`; "now"; "all": the beginning of what is stored;
    "today", "yesterday" or a weekday: when that day began, UTC. A weekday is the last one, or the next one if `ahead`.

    >>> moment("1h", 7200.0), moment("1h", 7200.0, ahead=True), moment("1970-01-01T00:00:30Z", 7200.0)
    (3600.0, 10800.0, 30.0)
    >>> [moment(text, 180_000.0) for text in ("now", "all", "today", "yesterday", "thursday", "friday")]
    [180000.0, 0.0, 172800.0, 86400.0, 0.0, 86400.0]
    >>> moment("friday", 180_000.0, ahead=True), moment("saturday", 180_000.0, ahead=True)
    (691200.0, 777600.0)
    """
    day = _UNITS["d"]
    named = {"now": now, "all": 0.0, "today": now // day * day, "yesterday": max(now // day - 1, 0) * day}
    for weekday, name in enumerate(DAYS, start=4):  # 1970-01-05 was a Monday
        since = (now // day - weekday) % 7
        named[name] = (now // day - since + 7 * ahead) * day
    try:
        at = now + duration(text) if ahead else max(now - duration(text), 0.0)
    except ValueError:
        try:
            at = named[text] if text in named else from_iso(text)
        except (ValueError, OverflowError):
            expected = "a time such as 2026-03-01T00:00Z or yesterday, or a length of time such as 10m or 7d"
            raise ValueError(f"expected {expected}, got {text[:80]!r}") from None
    if not 0 <= at < FAR:
        raise ValueError(f"expected a time between 1970 and 2200, got {text[:80]!r}")
    return at


def size(text: str) -> int:
    """Read a size such as "500MB" or "2GiB" as bytes. Raises ValueError.

    >>> size("1GB"), size("64KiB")
    (1000000000, 65536)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(B|[KMG]i?B)", text)
    if not match:
        raise ValueError(f'not a size: {text!r}; write it as "500MB" or "2GiB"')
    return int(float(match[1]) * _SIZES[match[2]])


def _time_of_day(text: str) -> float | None:
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", text)
    return match and int(match[1]) * 3600.0 + int(match[2]) * 60.0


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that is closest to a given one; empty if none is close."""
    near = difflib.get_close_matches(name, list(known), 1, 0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a setting holds, in words, and how it is read: `parse` returns None, or raises ValueError, for all else."""

    text: str
    parse: Callable[[Any], Any]
    choices: tuple[str, ...] = ()

    def read(self, value: Any) -> Any:
        """Return the value as the program uses it: a duration as seconds. Raises ValueError."""
        parsed = self.parse(value)
        if parsed is None:
            raise ValueError(f"expected {self.text}, got {value!r}{did_you_mean(str(value), self.choices)}")
        return parsed


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. `default`: as a file would say it; None if there is none, or if it depends on others."""

    key: str
    default: Any
    expected: Expected
    help: str


def settings_of(section: type) -> tuple[Setting, ...]:
    """Return the rows of a section."""
    return tuple(Setting(row.name, *row.metadata["row"]) for row in fields(section) if "row" in row.metadata)


def _row(default: Any, expected: Expected, text: str) -> Any:
    read = None if default is None else expected.read(default)
    return field(default_factory=lambda: read, metadata={"row": (default, expected, text)})


def _typed(kind: type, text: str, check: Callable[[Any], bool] = lambda _: True) -> Expected:
    def parse(value: Any) -> Any:
        wrong_bool = isinstance(value, bool) and kind is not bool
        if kind is float and isinstance(value, int) and not wrong_bool:
            value = float(value)
        if not isinstance(value, kind) or wrong_bool or not check(value):
            raise ValueError(f"expected {text}, got {value!r}")
        return value

    return Expected(text, parse)


def _parsed(parse: Callable[[str], float | None], text: str, check: Callable[[Any], bool] = lambda _: True) -> Expected:
    def read(value: Any) -> Any:
        result = parse(value) if isinstance(value, str) else None
        return result if result is not None and check(result) else None

    return Expected(text, read)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _texts(text: str) -> Expected:
    return Expected(text, lambda value: tuple(value) if _is_texts(value) else None)


def _one_of(*choices: str) -> Expected:
    listed = ", ".join(f'"{choice}"' for choice in choices)
    return Expected(f"one of {listed}", lambda value: value if value in choices else None, choices)


def _labels(value: Any) -> dict[str, str] | None:
    if not isinstance(value, dict) or not _is_texts(list(value.values())):
        return None
    for name in value:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"{name!r} cannot be a label's name: use letters, digits and _")
    return dict(value)


def _days(value: Any) -> tuple[tuple[float, float], ...] | None:
    """Days, or moments, from and to; a day at the end is meant whole."""
    out = []
    for item in value if _is_texts(value) else [""]:
        first, _, last = item.partition("/")
        try:
            start, end = from_iso(first), from_iso(last or first) + (86400.0 if len(last or first) == 10 else 0.0)
        except ValueError:
            return None
        if end <= start:
            raise ValueError(f"{item!r} ends before it begins")
        out.append((start, end))
    return tuple(out)


def _hours(value: Any) -> tuple[int, ...] | None:
    lengths = {duration(item) for item in value} if _is_texts(value) else {0.0}
    fit = all(length >= 3600 and length % 3600 == 0 and length <= 7 * 86400 for length in lengths)
    return tuple(sorted(round(length / 3600) for length in lengths)) if fit else None


def _statistic(value: Any) -> str | None:
    return value if isinstance(value, str) and (value in (*_STATISTICS, TRAFFIC) or is_performance(value)) else None


def _timezone(value: Any) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, TypeError, OSError, ZoneInfoNotFoundError):
        hint = did_you_mean(str(value), available_timezones())
        raise ValueError(f"there is no time zone {value!r}{hint}") from None
    return str(value)


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
QUIET = Expected('a list of days such as "2026-12-24/2026-12-26"', _days)
HOURS = Expected('a list of whole hours up to 7d, such as ["6h", "1d"]', _hours)
TIMEZONE = Expected("a time zone", _timezone)
STATISTIC = Expected(
    f"auto, a statistic ({', '.join(STATISTIC_NAMES)}), or a metric such as accuracy", _statistic, _STATISTICS
)
ALERTS = _typed(float, "a number above 0", lambda x: 0 < x < math.inf)
TIME_OF_DAY = _parsed(_time_of_day, 'a time of day such as "08:00"')
LABELS = Expected('a table of texts such as { team = "credit" }', _labels)
HEADERS = Expected(
    "a table of texts",
    lambda value: dict(value) if isinstance(value, dict) and _is_texts(list(value.values())) else None,
)


# fmt: off
@dataclass(frozen=True, slots=True)
class ModelConfig:
    """`[model]`, or one `[models.NAME]`."""

    name: str = _row("model", NAME, "What people call the model: its name in messages, tables and the API. It stays over versions; another name is another model.")
    path: str = _row("model.pkl", TEXT, "File of the fitted model (.pkl, .joblib, .skops or .onnx), relative to the folder that the command runs in; empty serves no model and takes observations only.")
    reference: str = _row("histogram.prom", TEXT, "File of the reference that `telltale init` wrote beside the model.")
    missing: str = _row("refuse", _one_of("refuse", "allow"), 'A null or NaN in a feature: "refuse" answers 422, "allow" hands it to the model and counts it as missing.')
    version: str = _row("", TEXT, "Name of the model version in metrics, tables and messages; empty takes the first 12 digits of the model file's SHA-256.")
    proba: bool = _row(False, YES_NO, "Record a classifier's probabilities as well, one prediction column `proba_CLASS` for each class; the reference must have these columns.")
    outcomes: bool = _row(True, YES_NO, "Take outcomes of this model, if there is a section [outcomes].")


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """`[source]`: durations in seconds."""

    kind: str = _row(JOURNAL, _one_of(JOURNAL, *NEEDED), 'Where counts come from: "journal" is the predictions that this process is given; "prometheus", "scrape" and "table" are pulled, and nothing can be posted.')
    every: float = _row("1m", POSITIVE_DURATION, "How often a source is asked that is pulled.")
    timeout: float = _row("30s", POSITIVE_DURATION, "How long one question to it may take.")
    url: str = _row("", TEXT, "Address of the Prometheus server, or of what answers its API.")
    match: str = _row("", TEXT, 'Which series are the fleet\'s, as label matchers such as job="scoring"; empty takes every replica that has this reference.')
    token_env: str = _row("", TEXT, "Environment variable that holds a token for Prometheus or the replicas, sent as Authorization: Bearer, or as it is if it says its kind, such as Basic dXNlcjpwYXNz.")
    token_file: str = _row("", TEXT, "File that holds that token.")
    headers: dict[str, str] = _row({}, HEADERS, 'Headers of each question, such as { X-Scope-OrgID = "credit" } for Mimir.')
    targets: tuple[str, ...] = _row([], _texts("a list of addresses"), "Addresses of the replicas, such as http://10.0.0.5:5000, for kind = \"scrape\".")
    url_env: str = _row("", TEXT, 'Environment variable with the URL of the database or warehouse, for kind = "table", as Ibis takes it: postgres://..., duckdb://lake.db; empty reads files.')
    table: str = _row("", TEXT, "The table with the predictions, such as lake.predictions, or Parquet or CSV files, such as /lake/*.parquet.")
    query: str = _row("", TEXT, "Instead of `table`: a query whose rows are the predictions.")
    time: str = _row("", TEXT, "Its column with the time of each prediction; UTC if it has no time zone.")
    prediction: tuple[str, ...] = _row([], _texts("a list of columns"), "Its columns with the predictions, in the order of the reference; empty takes the names that the reference has.")
    model: str = _row("", TEXT, "Its column with the version of the model: rows of other versions are not counted.")
    outcome: str = _row("", TEXT, "Its column with the outcomes, NULL for one that is not known yet; needs [outcomes].")
    outcomes: str = _row("", TEXT, "Another table that has the column `outcome`, joined by `id`: one row for each outcome.")
    id: str = _row("", TEXT, "The column that both tables have, if outcomes are in another one.")
    lag: float = _row("10m", DURATION, "How old a row must be to be counted, so that all rows of its minute are there.")


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """`[server]`."""

    host: str = _row("127.0.0.1", TEXT, "Address to listen on.")
    port: int = _row(5000, PORT, "Port to listen on; 0 takes any free one and prints it.")
    threads: int = _row(4, POSITIVE, "Threads that answer requests.")
    url: str = _row("", TEXT, "Address under which people reach the page, for links in messages; empty takes http://HOST:PORT.")
    max_body: int = _row("1MiB", _parsed(size, 'a size such as "1MiB"', lambda n: n >= 1000), "Largest request body; a larger one is refused with 413 before it is read.")
    max_bulk: int = _row("64MiB", _parsed(size, 'a size such as "64MiB"', lambda n: n >= 1000), "Largest body of lines (NDJSON) for POST /observe and /outcomes; it waits in a temporary file, and is read in bounded memory.")
    token_env: str = _row("", TEXT, "Environment variable that holds the token for pages and API; needed to listen beyond loopback, and to silence from the page.")
    token_file: str = _row("", TEXT, "File that holds the token, 16 characters or more.")
    protect: str = _row("pages", _one_of("pages", "all"), 'What the token is needed for, where there is one: "pages" leaves predictions, observations and /metrics open, "all" only /healthz and /readyz.')
    hosts: tuple[str, ...] = _row([], _texts("a list of names"), 'Names under which pages and API may be asked for, besides localhost, addresses, and the hosts of host and url; "*" is any.')
    trust_network: bool = _row(False, YES_NO, "Listen beyond loopback without a token: everybody who can reach the address is trusted to look.")


@dataclass(frozen=True, slots=True)
class DataConfig:
    """`[data]`: durations in seconds, sizes in bytes."""

    path: str = _row("data", TEXT, "Folder of the database, the journal and the lock; made if there is none.")
    keep_minutes: float = _row("7d", POSITIVE_DURATION, "Age at which base windows have been rolled up into hours and are dropped.")
    keep_hours: float = _row("120d", POSITIVE_DURATION, "Age at which hour windows have been rolled up into days and are dropped.")
    keep: float = _row("3y", POSITIVE_DURATION, "Age at which everything is dropped: days, verdicts, alert events, notifications.")
    keep_unseen: int = _row(100, _typed(int, "a whole number of 0 to 1000", lambda n: 0 <= n <= 1000), "Values of a categorical column that the reference does not have and that are kept by name, at most; 0 keeps none. All of them are counted. A column that is not watched by category keeps none.")
    max_size: int = _row("2GB", SIZE, "Most bytes that the data folder takes; the oldest data go first. A hard cap.")
    segment: int = _row("4MiB", _parsed(size, "a size of 64KiB to 256MiB", lambda n: 65536 <= n <= 2**28), "Size of one journal segment, allocated ahead.")
    sync: float = _row("1s", DURATION, "The journal reaches the disk at least this often, against loss of power; a crash of the process loses nothing.")


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """`[window]`: seconds."""

    base: float = _row("1m", WINDOW_BASE, "Length of the base window, aligned to UTC.")
    fold: float = _row("1s", POSITIVE_DURATION, "How often new journal records are folded into the windows.")


@dataclass(frozen=True, slots=True)
class DriftConfig:
    """`[drift]`: durations in seconds, `windows` in hours."""

    every: float = _row("1m", POSITIVE_DURATION, "How often drift is worked out.")
    window: float = _row("30m", POSITIVE_DURATION, "Length of the test window that a rule compares with the reference.")
    alpha: float = _row(0.00015, PROBABILITY, "Probability that one evaluation of a rule names any column although nothing has drifted; shared out over its columns.")
    alerts: float = _row(1.0, ALERTS, "How many messages a month about unusual windows you accept for the model; shared out over its columns and the two windows.")
    windows: tuple[int, ...] = _row([], HOURS, "Lengths of the windows in which something may be unusual, whole hours; empty takes a short and a long one that suit the traffic.")
    timezone: str = _row("UTC", TIMEZONE, "Time zone of the hour of the week in which something is usual, with its daylight saving, such as \"Europe/Berlin\".")
    quiet: tuple[tuple[float, float], ...] = _row([], QUIET, "Days that are known to be unusual, such as \"2026-12-24/2026-12-26\", both included: no alert, and nothing is learnt from them.")
    benign: str = _row("tell", _one_of("tell", "quiet"), 'An alert of a drift that does no harm to the model, as far as the held-out rows of the reference tell: "tell" says so, "quiet" also makes its severity `info` unless the answers move with it, and that of a harmful one a step higher.')
    min_samples: int = _row(50, POSITIVE, "Fewer predictions than this in the test window give no verdict: the state is `insufficient data`.")


@dataclass(frozen=True, slots=True)
class OutcomesConfig:
    """`[outcomes]`: seconds, bytes."""

    within: float = _row("30d", POSITIVE_DURATION, "How long a prediction waits for its outcome; later ones are `expired`. No feature is kept for it.")
    max_size: int = _row("256MB", SIZE, "Most that the waiting predictions take on the disk; if more wait, one in 2, 4, 8, ... is kept, chosen by its number.")


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """`[metrics]`."""

    boxkite: bool = _row(False, YES_NO, "Expose Boxkite's metric names as well, so that its dashboard works unchanged.")
    max_series: int = _row(200_000, POSITIVE, "Most series on /metrics; whole columns beyond it are left out and counted.")


@dataclass(frozen=True, slots=True)
class AlertsConfig:
    """`[alerts]`: durations in seconds."""

    repeat: float = _row("0s", DURATION, "A group that still fires is sent again after this long; 0s: never.")
    receivers: tuple[str, ...] = _row([], _texts("a list of receiver names"), "Receivers of rules that name none; empty takes all that are configured.")
    labels: dict[str, str] = _row({}, LABELS, "Labels of all alerts, such as { env = \"production\" }; a rule's own come first.")


@dataclass(frozen=True, slots=True)
class ReportConfig:
    """`[report]`: `at` in seconds after midnight."""

    every: str = _row("", _one_of("", *EVERY), 'Send a report of each "day", of the week that ends before a weekday such as "monday", or of each "month"; empty sends none.')
    at: float = _row("08:00", TIME_OF_DAY, "When, on the day after the period, in the time zone of [drift]; a process that was down sends it when it starts.")
    receivers: tuple[str, ...] = _row([], _texts("a list of receiver names"), "Who gets it; empty takes those of [alerts] that take alerts of every kind, but no Alertmanager.")
    folder: str = _row("reports", TEXT, "Folder that the file is written to; empty writes none, and the message has the summary only.")


@dataclass(frozen=True, slots=True)
class ReceiverConfig:
    """`[receivers.NAME]`. Secrets are not in here: only where to find them."""

    name: str
    kind: str = _row(None, _one_of(*RECEIVER_KINDS), "What the receiver is; required.")
    url: str = _row("", TEXT, "Address of a Slack webhook, webhook or Alertmanager; prefer url_env or url_file for a secret one.")
    url_env: str = _row("", TEXT, "Environment variable that holds the address.")
    url_file: str = _row("", TEXT, "File that holds the address.")
    token_env: str = _row("", TEXT, "Environment variable that holds the bot's token (Telegram, Slack bot) or the signing key (webhook).")
    token_file: str = _row("", TEXT, "File that holds the token or the key.")
    chat_id: str = _row("", TEXT, "Telegram chat to write to.")
    api_url: str = _row("https://api.telegram.org", TEXT, "Telegram Bot API server.")
    channel: str = _row("", TEXT, "Slack channel of a bot.")
    severities: tuple[str, ...] = _row([], _texts("a list of severities"), "Send only alerts of these severities; empty sends all.")
    match: dict[str, str] = _row({}, LABELS, "Send only alerts that carry all of these labels (rule, column, role and the rule's own).")
    resolved: bool = _row(True, YES_NO, "Send a message when the alerts of a group are over.")


#: The sections of a file, apart from `[[rule]]` and `[receivers.NAME]`.
SECTIONS: dict[str, type] = {
    "model": ModelConfig,
    "source": SourceConfig,
    "server": ServerConfig,
    "data": DataConfig,
    "window": WindowConfig,
    "drift": DriftConfig,
    "outcomes": OutcomesConfig,
    "metrics": MetricsConfig,
    "alerts": AlertsConfig,
    "report": ReportConfig,
}

#: The rows of each section.
SETTINGS = {name: settings_of(section) for name, section in SECTIONS.items()}
RECEIVER_SETTINGS = settings_of(ReceiverConfig)
RULE_SETTINGS: tuple[Setting, ...] = (
    Setting("name", None, TEXT, "Name of the rule, unique; required."),
    Setting("preset", "", _one_of("", "boxkite"), "A ready-made set of rules instead of one: `boxkite` has the tutorial's own alerts. Takes no other key but `models`."),
    Setting("models", [], _texts("a list of names of models"), "Models that it judges, by the NAME of [models.NAME]; empty judges all. Two rules may have one name if no model has both."),
    Setting("columns", [], _texts("a list of column names, globs or roles such as role:feature"), "Columns it covers: names, globs such as `s*`, or a role: `role:feature`, `role:prediction`, `role:derived`; empty covers all."),
    Setting("statistic", "auto", STATISTIC, "What is compared: `auto` takes ks and wasserstein for numeric and kl for categorical columns, and missing and other for both. With [outcomes]: a metric (`accuracy`, `recall`, `recall[CLASS]`, `mae`, ...), or `performance` for the usual ones. Without: `estimated accuracy`, or another metric that is estimated. `traffic`: whether predictions come at all."),
    Setting("window", None, POSITIVE_DURATION, "Length of its test window; the default is [drift] window, with reference = \"usual\" [drift] windows, and 7d for performance."),
    Setting("reference", "training", TEXT, 'What it compares with: "usual" (what the last weeks let expect at this hour), "training" or "FROM/TO" in ISO 8601.'),
    Setting("alerts", None, ALERTS, 'With reference = "usual": the messages a month that you accept; the default is [drift] alerts.'),
    Setting("alpha", None, PROBABILITY, "Its false-alarm probability; the default is [drift] alpha, and 0.001 for performance."),
    Setting("floor", None, FLOOR, "Smallest value of the statistic that matters; the default is the statistic's own. With `auto`, `wasserstein` takes 2.5 times as much."),
    Setting("min_samples", None, POSITIVE, "Its least number of predictions; the default is [drift] min_samples, and 100 outcomes for performance."),
    Setting("max_age", "0s", DURATION, "On low traffic the window may reach back this far until it has min_samples; 0s means not at all."),
    Setting("independent", False, YES_NO, "Count the rows of a window as independent draws, even if windows of the first weeks scatter by more than that."),
    Setting("for", "0s", DURATION, "How long its condition must hold, seen at each evaluation, before the alert fires."),
    Setting("keep_firing_for", None, DURATION, 'How long the condition must be gone before the alert resolves; 5m, a day with reference = "usual" and for performance, and 0s for traffic.'),
    Setting("reopen", None, DURATION, 'An alert that comes back within this long goes on silently; 15m, and 7d with reference = "usual", for performance and for the default rules.'),
    Setting("severity", "warning", _one_of(*SEVERITIES), "Severity of its alerts."),
    Setting("labels", {}, LABELS, "Labels added to its alerts, for routing."),
    Setting("receivers", [], _texts("a list of receiver names"), "Who is told; empty takes [alerts] receivers."),
)
