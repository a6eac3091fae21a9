"""Prometheus as a source: it is asked once a minute for the counters of a fleet.

Every question names its moment, so what was missed is asked for later. VictoriaMetrics, Thanos and Mimir answer the
same questions; the parameters by which they refuse a partial answer go with each, and Prometheus ignores them.
"""

from __future__ import annotations

import math
import re
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from email.utils import parsedate_to_datetime

import orjson
import requests

from monitor.clock import Clock, iso
from monitor.columns.column import Floats
from monitor.config.settings import SourceConfig
from monitor.errors import SourceError
from monitor.notify.secret import read_secret
from monitor.series import Series
from monitor.source.counters import COUNTS, FACTS, FLEET, Fleet, Places, Replica, Sample, State, survey
from monitor.source.protocol import Handover
from monitor.source.pulled import Pulled

#: Seconds after which a moment is asked for: by then its samples have come. Clocks may differ by no more.
LAG = 30.0

#: How long the last sample of a series counts: longer than any usual interval between scrapes.
LOOK_BACK = "5m"

#: Labels by which the counters of a replica are told apart.
BIN = "__name__, column, role, le, category"

#: Against answers that lack a part: parameters of Thanos, and of VictoriaMetrics in a cluster.
WHOLE = {"dedup": "true", "partial_response": "false", "deny_partial_response": "1"}

#: Largest answer that is taken, in bytes.
MOST = 1 << 30


def fetch(
    session: requests.Session, url: str, timeout: float, data: Mapping[str, str] | None = None
) -> tuple[requests.Response, bytes]:
    """GET, or POST some data; returns the answer and its body. Raises SourceError that says what is wrong."""
    deadline, body = time.monotonic() + timeout, bytearray()
    try:
        method = "GET" if data is None else "POST"
        with session.request(method, url, data=data, timeout=timeout, stream=True, allow_redirects=False) as answer:
            for part in answer.iter_content(1 << 16):
                body += part
                if len(body) > MOST or time.monotonic() > deadline:
                    raise SourceError(f"its answer takes more than {timeout:g} s or {MOST >> 20} MB")
    except (requests.RequestException, ValueError) as error:
        if isinstance(error, requests.Timeout) or time.monotonic() >= deadline:
            raise SourceError(f"no answer within {timeout:g} s") from None
        reason = getattr(getattr(error.args[0], "reason", None), "__cause__", None) if error.args else None
        raise SourceError(f"cannot be reached: {reason or type(error).__name__}") from None
    return answer, bytes(body)


class PrometheusSource(Pulled):
    """A fleet, by what a Prometheus server knows of it. Its cursor is a `State`."""

    delay = LAG

    def __init__(self, name: str, series: Series, cursor: str, settings: SourceConfig, base: int, clock: Clock) -> None:
        super().__init__(name, series, cursor, settings, base, clock)
        self.where = f"Prometheus at {settings.url}"
        self._places, self._session = Places(series.schema), requests.Session()
        token = read_secret("[source] token", env=settings.token_env, file=settings.token_file)
        self._session.auth = lambda request: request  # or a .netrc would win over the token
        self._session.headers.update(settings.headers)
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token.reveal()}"

    def fetch(self, cursor: str) -> Iterator[Handover]:
        """Ask for every moment since the cursor, one after the other."""
        every, state = self.settings.every, State.from_text(cursor)
        newest = math.floor((self.clock.time() - LAG) / every) * every
        if state is not None and state.at > newest + every:
            raise SourceError(f"it was asked for {iso(state.at)} already, which lies ahead: was the clock set back?")
        moment = newest if state is None else (math.floor(state.at / every) + 1) * every
        while moment <= newest:
            state, handover = self._advance(state, moment)
            yield handover
            moment += every

    def _advance(self, before: State | None, now: float) -> tuple[State, Handover]:
        said = self._ask(_own("__name__, model_version, replica, reference", FACTS, self.settings.match), now)
        replicas, words = survey(said, self.series.reference.identity[:12], now)
        if not replicas and not words:
            words = ["it knows no replica; does [source] match fit?"]
        fleet = Fleet(self._places, self._each, lambda wanted: self._total(wanted, now))
        state, batch, gaps, more = fleet.advance(before, replicas, now)
        for text in (*words, *more):
            self.remark(text)
        counts = {} if batch is None else {(self.series, math.ceil(now / self.base - 1) * self.base): batch}
        return state, Handover(state.to_text(), counts, gaps=gaps, rows=batch.n if batch else 0)

    def _total(self, replicas: Collection[Replica], at: float) -> Floats:
        which = _any("model_version", {one.version for one in replicas})
        return self._places.fill(self._ask(f"sum by ({BIN}) ({self._counters(which)})", at))

    def _each(self, replicas: Collection[Replica], at: float) -> Mapping[Replica, Floats]:
        samples = defaultdict[Replica, list[Sample]](list)
        for sample in self._ask(self._counters(_any("replica", {one.name for one in replicas})), at):
            samples[Replica(sample[1].get("model_version", ""), sample[1].get("replica", ""))].append(sample)
        return {one: self._places.fill(samples[one]) for one in replicas if one in samples}

    def _counters(self, which: str) -> str:
        return _own(f"model_version, replica, {BIN}", COUNTS, which, self.settings.match)

    def _ask(self, query: str, at: float) -> list[Sample]:
        """Samples at a moment. Raises SourceError if there is no answer, or one that may lack a part."""
        address = f"{self.settings.url.rstrip('/')}/api/v1/query"
        answer, body = fetch(self._session, address, self.settings.timeout, {"query": query, "time": str(at), **WHOLE})
        try:
            content = orjson.loads(body)
            refused = "" if answer.status_code == 200 else str(content["error"])
            found = [] if refused else content["data"]["result"]
            samples: list[Sample] = [
                (one["metric"]["__name__"], one["metric"], float(one["value"][1])) for one in found
            ]
        except (ValueError, LookupError, TypeError):
            kind = answer.headers.get("Content-Type", "nothing")
            raise SourceError(f"is not Prometheus: {address} answers {answer.status_code}, {kind}") from None
        if refused:
            raise SourceError(f"it answers {answer.status_code}: {refused}")
        if content.get("warnings") or content.get("isPartial"):
            why = "; ".join(map(str, content.get("warnings", ())))
            raise SourceError(f"its answer may lack a part, so nothing is counted{f': {why}' if why else ''}")
        self._compare_clocks(answer.headers.get("Date", ""))
        return samples

    def _compare_clocks(self, date: str) -> None:
        """Raise SourceError if our clock and the server's differ: we would ask for what it does not know yet."""
        try:
            ahead = self.clock.time() - parsedate_to_datetime(date).timestamp()
        except ValueError:
            return  # it does not say
        if abs(ahead) > LAG:
            word = "ahead of" if ahead > 0 else "behind"
            raise SourceError(f"this machine's clock is {abs(ahead):.0f} seconds {word} its clock; nothing is counted")


def _own(by: str, families: Collection[str], *which: str) -> str:
    """Write a query for families, the newest of each replica wherever it was scraped, and by whom."""
    given = [f'__name__=~"{"|".join(families)}"', f'replica!~"{FLEET}.*"', *filter(None, which)]
    return f"max by ({by}) (last_over_time({{{', '.join(given)}}}[{LOOK_BACK}]))"


def _any(label: str, values: Collection[str]) -> str:
    r"""Write a matcher for any of some values.

    >>> print(_any("replica", ["b", "a.1"]))
    replica=~"a\\.1|b"
    """
    text = "|".join(re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", value) for value in sorted(values))
    return f"{label}=~{orjson.dumps(text).decode()}"
