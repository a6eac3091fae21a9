"""What both kinds of fleet share: asking over HTTP, and making counts of the counters that come."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Mapping
from urllib.parse import urlsplit

import requests

from monitor.clock import Clock
from monitor.config.settings import SourceConfig
from monitor.errors import ConfigError, SourceError
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
        said: Iterable[Sample],
        twice: Collection[Replica],
        at: float,
        each: Each,
        total: Total | None = None,
    ) -> Handover:
        """Count what replicas have added by a moment. Raises what `each` and `total` raise.

        `said`: what they say of themselves. `twice`: those that answer at two addresses.
        """
        seen, words = survey(said, self.series.reference.identity[:12], at)
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

    def ask(self, url: str, form: Mapping[str, str] | None = None) -> tuple[requests.Response, bytes]:
        """GET, or POST a form; returns the answer and its body. Raises SourceError."""
        timeout, headers = self.settings.timeout, dict(self.settings.headers)
        if self._token is not None:
            token = self._token.reveal()
            headers["Authorization"] = token if " " in token else f"Bearer {token}"
        deadline, body = time.monotonic() + timeout, bytearray()
        try:
            with requests.request(
                "GET" if form is None else "POST",
                url,
                data=form,
                headers=headers,
                auth=lambda request: request,  # or a .netrc would win over the token
                timeout=timeout,
                stream=True,
                allow_redirects=False,
            ) as answer:
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
