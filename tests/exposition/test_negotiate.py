"""Formats and encodings."""

from __future__ import annotations

import pytest

from monitor.exposition.negotiate import OPENMETRICS, TEXT, TEXT_1, accepts_gzip, negotiate

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;"
    "q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (PROMETHEUS_2_42, OPENMETRICS),
        (PROMETHEUS_3, f"{OPENMETRICS}; escaping=allow-utf-8"),
        (PROMETHEUS_3.replace("allow-utf-8", "underscores"), f"{OPENMETRICS}; escaping=underscores"),
        (PROTOBUF + PROMETHEUS_3.replace("0.6,", "0.5,", 1), f"{OPENMETRICS}; escaping=allow-utf-8"),
        ("text/plain;version=1.0.0;escaping=dots;q=0.6,text/plain;version=0.0.4;q=0.5", f"{TEXT_1}; escaping=dots"),
        ("text/plain;version=0.0.4;q=0.6,text/plain;version=1.0.0;escaping=dots;q=0.5", TEXT),
        ("text/plain;version=1.0.0;escaping=<b>", TEXT_1),
        ("application/openmetrics-text,text/plain;version=1.0.0", OPENMETRICS),
        ("text/plain;version=0.0.4", TEXT),
        ("text/plain,application/openmetrics-text;q=0.5", TEXT),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/openmetrics-text;version=2.0.0,text/plain", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=nonsense", TEXT),
        ("text/html,application/xhtml+xml,*/*;q=0.8", TEXT),
        (",;,=;q", TEXT),
        (None, TEXT),
    ],
)
def test_the_format_that_is_preferred(accept: str | None, content_type: str) -> None:
    assert negotiate(accept) == (content_type.startswith(OPENMETRICS), content_type)


@pytest.mark.parametrize(
    ("header", "yes"), [("gzip", True), ("br, GZIP;q=0.1", True), ("identity", False), ("", False)]
)
def test_gzip_only_when_asked_for(header: str, yes: bool) -> None:
    assert accepts_gzip(header) is yes
