"""Boxkite's three calls, as the tutorial of Boxkite makes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitor.boxkite import BaselineMetricCollector, ModelMonitoringService
from monitor.errors import DataError, InputError


def test_the_tutorial_with_one_import_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    columns = [("age", random.normal(size=300)), ("bmi", random.normal(size=300).tolist())]
    path = tmp_path / "histogram.prom"
    ModelMonitoringService.export_text(features=iter(columns), inference=random.normal(150, 20, 300), path=str(path))
    monkeypatch.setenv("BEDROCK_SERVER_ID", "server-1")
    collector = BaselineMetricCollector(path=str(path))
    with ModelMonitoringService(baseline_collector=collector, data=tmp_path / "data") as service:
        ids = [service.log_prediction(request_body="{}", features=[0.1, 0.2], output=151.0) for _ in range(3)]
        assert len(set(ids)) == 3
        assert all(one.startswith("server-1/") for one in ids)
        service.monitor.flush()
        body, content_type = service.export_http()
        assert content_type.startswith("text/plain")
        text = body.decode()
        assert "feature_0_value_baseline" in text
        assert "telltale_predictions_total" in text
        assert "inference_value_count" in text
        assert service.export_http({}, {"ACCEPT": "application/openmetrics-text"})[1].startswith(
            "application/openmetrics"
        )
        with pytest.raises(InputError, match="got 1"):
            service.log_prediction("", [0.1], 1.0)


def test_without_answers_there_is_no_reference(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="inference"):
        ModelMonitoringService.export_text([("a", [1.0])], path=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_columns_of_different_lengths_and_a_service_without_names(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    columns = pd.DataFrame({"size": [1.0, 2.0, 3.0], "colour": ["red", "blue", None]})
    path = tmp_path / "histogram.prom"
    ModelMonitoringService.export_text(columns.items(), inference=["cat", "dog"], path=path)
    exporter = object()
    with ModelMonitoringService(exporter, BaselineMetricCollector(path), data=tmp_path / "data") as service:
        service.log_prediction(b"any bytes", [2, "green"], np.str_("cat"))
        service.monitor.flush()
        assert service.monitor.status()["predictions"] == 1
    assert "log_exporter is not used" in caplog.text
