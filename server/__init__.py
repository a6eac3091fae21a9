"""The HTTP side: it validates, predicts, and hands observations to the monitor. It knows no statistics."""

#: What `/version` and `/v2` say; the one in `pyproject.toml`.
VERSION = "0.1.0"
