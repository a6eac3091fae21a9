"""Which format and encoding a scraper gets, from its `Accept` and `Accept-Encoding` headers."""

from __future__ import annotations

import zlib

TEXT = "text/plain; version=0.0.4; charset=utf-8"
TEXT_1 = "text/plain; version=1.0.0; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

#: What is offered, by what a scraper may ask for; of two asked for equally, the one further down.
OFFERED = {
    ("text/*", ""): TEXT,
    ("text/plain", ""): TEXT,
    ("text/plain", "0.0.4"): TEXT,
    ("text/plain", "1.0.0"): TEXT_1,
    ("application/openmetrics-text", ""): OPENMETRICS,
    ("application/openmetrics-text", "1.0.0"): OPENMETRICS,
}

#: How names outside of [a-zA-Z0-9_:] may be written (Prometheus 3). There are none, so each of them is kept to.
ESCAPING = ("allow-utf-8", "underscores", "dots", "values")


def negotiate(accept: str | None) -> tuple[bool, str]:
    """Return whether to answer in OpenMetrics, and the content type to say.

    Of the formats asked for the most eagerly asked for, OpenMetrics first. The Prometheus text format also for browsers
    and for who asks for nothing that is offered. Prometheus 3 refuses a content type of another kind.

    >>> negotiate("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")[0]
    True
    >>> negotiate("text/plain"), negotiate(None)[0], negotiate("text/html,*/*;q=0.8")[0]
    ((False, 'text/plain; version=0.0.4; charset=utf-8'), False, False)
    >>> negotiate("text/plain;version=1.0.0;escaping=allow-utf-8")[1]
    'text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8'
    """
    order = list(OFFERED)
    best, content_type, escaping = (0.0, -1), TEXT, ""
    for media, parameters, quality in _preferences(accept):
        key = (media, parameters.get("version", ""))
        if key in OFFERED and quality > 0 and (quality, order.index(key)) > best:
            best, content_type = (quality, order.index(key)), OFFERED[key]
            escaping = parameters.get("escaping", "") if content_type != TEXT else ""
    more = f"; escaping={escaping}" if escaping in ESCAPING else ""
    return content_type == OPENMETRICS, content_type + more


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Whether the answer may be compressed.

    >>> accepts_gzip("gzip, deflate"), accepts_gzip("gzip;q=0"), accepts_gzip("*"), accepts_gzip(None)
    (True, False, True, False)
    """
    asked = {coding: quality for coding, _, quality in _preferences(accept_encoding)}
    return asked.get("gzip", asked.get("*", 0.0)) > 0


def gzip(body: bytes) -> bytes:
    """Compress for the wire: fast rather than small, and the same bytes for the same body."""
    packer = zlib.compressobj(level=1, wbits=31)
    return packer.compress(body) + packer.flush()


def _preferences(header: str | None) -> list[tuple[str, dict[str, str], float]]:
    out = []
    for item in (header or "").split(","):
        name, *rest = (part.strip() for part in item.split(";"))
        parameters = {
            key.strip().lower(): value.strip().strip('"') for key, _, value in (p.partition("=") for p in rest)
        }
        try:
            quality = float(parameters.get("q", 1.0))
        except ValueError:
            quality = 0.0
        out.append((name.lower(), parameters, quality))
    return out
