"""Which format and encoding a scraper gets, from its `Accept` and `Accept-Encoding` headers."""

from __future__ import annotations

TEXT = "text/plain; version=0.0.4; charset=utf-8"
TEXT_1 = "text/plain; version=1.0.0; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

#: What is offered, by (media type, version); of two asked for equally, the one further down.
OFFERED = {
    ("text/*", ""): TEXT,
    ("text/plain", ""): TEXT,
    ("text/plain", "0.0.4"): TEXT,
    ("text/plain", "1.0.0"): TEXT_1,
    ("application/openmetrics-text", ""): OPENMETRICS,
    ("application/openmetrics-text", "1.0.0"): OPENMETRICS,
}

#: How names outside of [a-zA-Z0-9_:] may be written (Prometheus 3). There are none, so every one is fulfilled.
ESCAPING = ("allow-utf-8", "underscores", "dots", "values")


def negotiate(accept: str | None) -> tuple[bool, str]:
    """Return whether to answer in OpenMetrics, and the content type to say.

    The format of the highest quality value, OpenMetrics first; the Prometheus text format if nothing that is offered is
    asked for, as by a browser. Prometheus 3 refuses a content type of another kind.

    >>> negotiate("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")[0]
    True
    >>> negotiate("text/plain"), negotiate(None)[0], negotiate("text/html,*/*;q=0.8")[0]
    ((False, 'text/plain; version=0.0.4; charset=utf-8'), False, False)
    >>> negotiate("text/plain;version=1.0.0;escaping=allow-utf-8")[1]
    'text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8'
    """
    order = list(OFFERED)
    asked = [
        (quality, (media, parameters.get("version", "")), parameters)
        for media, parameters, quality in _preferences(accept)
    ]
    known = [
        (quality, order.index(key), parameters) for quality, key, parameters in asked if key in OFFERED and quality > 0
    ]
    _, place, parameters = max(known, key=lambda preference: preference[:2], default=(0.0, 0, {}))
    kind, escaping = OFFERED[order[place]], parameters.get("escaping")
    return kind == OPENMETRICS, f"{kind}; escaping={escaping}" if kind != TEXT and escaping in ESCAPING else kind


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Whether the answer may be compressed.

    >>> accepts_gzip("gzip, deflate"), accepts_gzip("gzip;q=0"), accepts_gzip("*"), accepts_gzip(None)
    (True, False, True, False)
    """
    asked = {coding: quality for coding, _, quality in _preferences(accept_encoding)}
    return asked.get("gzip", asked.get("*", 0.0)) > 0


def _preferences(header: str | None) -> list[tuple[str, dict[str, str], float]]:
    out = []
    for item in (header or "").split(","):
        name, *rest = (part.strip() for part in item.split(";"))
        pairs = (part.partition("=") for part in rest)
        parameters = {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
        try:
            quality = float(parameters.get("q", 1.0))
        except ValueError:
            quality = 0.0
        out.append((name.lower(), parameters, quality))
    return out
