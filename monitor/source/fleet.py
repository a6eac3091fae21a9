"""What both kinds of fleet share: asking over HTTP, and making counts of the counters that come."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from urllib.parse import urlencode, urlsplit

from monitor.clock import Clock
from monitor.config.settings import SourceConfig
from monitor.errors import ConfigError, SourceError
from monitor.notify.http import Failure, Http, Reply
from monitor.notify.secret import read_secret
from monitor.series import Series
from monitor.source.counters import Each, Fleet, Places, Replica, Sample, State, Total, survey
from monitor.source.protocol import Handover
from monitor.source.pulled import Pulled

#: Largest answer that is taken, in bytes.
MOST = 1 << 30


class FleetSource(Pulled):
    """Counts many replicas by their counters. Its cursor is a `State`."""

    def __init__(self, name: str, series: Series, cursor: str, settings: SourceConfig, base: int, clock: Clock) -> None:
        """As `Pulled`. Raises ConfigError for what is no address, and if the token is not where the settings say."""
        super().__init__(name, series, cursor, settings, base, clock)
        for address in filter(None, (settings.url, *settings.targets)):
            parts = urlsplit(address)
            if parts.scheme not in ("http", "https") or "@" in parts.netloc:
                known = "begins with http:// or https:// and has no password in it; that belongs into token_env"
                raise ConfigError(f"[source]: expected an address that {known}")
        self.places = Places(series.schema)
        self._token = read_secret("[source] token", env=settings.token_env, file=settings.token_file)

    def count(
        self,
        before: State | None,
        facts: Iterable[Sample],
        twice: Collection[Replica],
        at: float,
        each: Each,
        total: Total | None = None,
    ) -> Handover:
        """Count what replicas have added by a moment. Raises what `each` and `total` raise.

        `facts`: samples of FACTS, which say what each replica is. `twice`: those that answer at two addresses.
        """
        seen, words = survey(facts, self.series.reference.identity[:12], at)
        if not seen and not words:
            words = ["it knows no replica; does [source] fit?"]
        for replica in seen.keys() & twice:
            del seen[replica]
            words.append(f"not counted: replica {replica.name} is at two addresses: are they copies of a data folder?")
        state, batch, gaps, more = Fleet(self.places, each, total).advance(before, seen, at)
        for text in (*words, *more):
            self.remark(text)
        middle = at - min(self.base, self.settings.every) / 2  # of what was added: a reading comes just after a window
        counts = {} if batch is None else {(self.series, math.floor(middle / self.base) * self.base): batch}
        return Handover(state.to_text(), counts, gaps=gaps, rows=batch.n if batch else 0)

    def ask(self, url: str, form: Mapping[str, str] | None = None) -> Reply:
        """GET, or POST a form. Raises SourceError."""
        headers, body = dict(self.settings.headers), None
        if self._token is not None:
            token = self._token.reveal()
            headers["Authorization"] = token if " " in token else f"Bearer {token}"
        if form is not None:
            headers["Content-Type"], body = "application/x-www-form-urlencoded", urlencode(form).encode()
        reply = Http(self.settings.timeout, MOST).post(url, body, headers)
        if isinstance(reply, Failure):
            raise SourceError(f"cannot be reached: {reply.reason}")
        if len(reply.body) == MOST:
            raise SourceError(f"its answer takes more than {MOST >> 20} MB")
        return reply
