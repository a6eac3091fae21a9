"""Boxkite's three calls, so that a program which used them changes one import: `docs/from-boxkite.md`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from monitor.config.load import Config
from monitor.errors import DataError
from monitor.library.monitor import Monitor
from monitor.reference.file import Reference

log = logging.getLogger(__name__)

#: Where `export_text` writes by default.
DEFAULT_PATH = "/artefact/histogram.prom"

#: The variable with which Boxkite names the server in prediction ids.
SERVER_ID = "BEDROCK_SERVER_ID"


class BaselineMetricCollector:
    """Path of the reference, as Boxkite's programs give it to their service."""

    def __init__(self, path: str | os.PathLike[str] = DEFAULT_PATH) -> None:
        self.path = path


class ModelMonitoringService:
    """The monitor, with Boxkite's methods. Close it, or use it with `with`.

    `log_exporter` is not used: no row of data is kept or sent. `reference`: a `histogram.prom` of ours or Boxkite's;
    without one, the collector's, `[model] reference` of the settings, or Boxkite's own place if there is such a file.
    `data`: the data folder; `config`: a settings file. Boxkite's names are on `/metrics` too: its dashboards go on.
    """

    def __init__(
        self,
        log_exporter: object = None,
        baseline_collector: BaselineMetricCollector | None = None,
        *,
        reference: Reference | str | os.PathLike[str] | None = None,
        data: str | os.PathLike[str] | None = None,
        config: str | os.PathLike[str] | None = None,
    ) -> None:
        if log_exporter is not None:
            log.warning("log_exporter is not used: no row of data is kept or sent (docs/from-boxkite.md)")
        settings = Config.load(config)
        if reference is None and baseline_collector is not None:
            reference = baseline_collector.path
        if reference is None and not Path(settings.model.reference).exists() and Path(DEFAULT_PATH).exists():
            reference = DEFAULT_PATH
        settings = replace(settings, metrics=replace(settings.metrics, boxkite=True))
        self._server = os.environ.get(SERVER_ID, "unknown-server")
        self.monitor = Monitor.open(settings, reference=reference, data=data)

    def log_prediction(self, request_body: str | bytes, features: Sequence[Any], output: Any) -> str:  # noqa: ARG002
        """Record one prediction, and return its id. The request's body is not kept: no row of data is."""
        return f"{self._server}/{self.monitor.observe(features, output)}"

    def export_http(
        self,
        params: Mapping[str, Sequence[str]] | None = None,  # noqa: ARG002 - Boxkite's signature
        headers: Mapping[str, str] | None = None,
    ) -> tuple[bytes, str]:
        """Body and content type of `/metrics`; `params`, which chose metrics by name, are ignored."""
        accepted = [value for name, value in (headers or {}).items() if name.lower() == "accept"]
        return self.monitor.metrics(accepted[0] if accepted else "")

    @classmethod
    def export_text(
        cls,
        features: Iterable[tuple[str, Sequence[Any]]],
        inference: Sequence[Any] | None = None,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        """Write the reference of columns, (name, values), and of what the model answered for them. Raises DataError."""
        if inference is None:
            raise DataError("inference is None: give the model's answers for the data, they are watched as well")
        Reference.from_data(dict(features), list(inference)).save(path or DEFAULT_PATH)

    def close(self) -> None:
        """Fold what is left and let go of the data folder."""
        self.monitor.close()

    def __enter__(self) -> ModelMonitoringService:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
