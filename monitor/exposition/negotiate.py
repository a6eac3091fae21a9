"""Which format and encoding a scraper gets, from its `Accept` and `Accept-Encoding` headers."""

from __future__ import annotations

import zlib

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def negotiate(accept: str | None) -> tuple[bool, str]:
    """Return whether to answer in OpenMetrics, and the content type to say.

    OpenMetrics 1.0.0 where it is asked for at least as eagerly as text; the Prometheus text format otherwise, also
    for browsers and for who asks for nothing. Prometheus 3 refuses any other content type.

    >>> negotiate("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")[0]
    True
    >>> negotiate("text/plain"), negotiate(None)[0], negotiate("text/html,*/*;q=0.8")[0]
    ((False, 'text/plain; version=0.0.4; charset=utf-8'), False, False)
    """
    openmetrics = text = 0.0
    for media, parameters, quality in _preferences(accept):
        if media == "application/openmetrics-text" and parameters.get("version", "1.0.0") == "1.0.0":
            openmetrics = max(openmetrics, quality)
        elif media in ("text/plain", "text/*") and parameters.get("version", "0.0.4") in ("0.0.4", "1.0.0"):
            text = max(text, quality)
    return (True, OPENMETRICS) if openmetrics > 0 and openmetrics >= text else (False, TEXT)


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
