"""A reference of two numbers and a category, and monitors over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor import Monitor, Reference
from monitor.config.load import Config

Open = Callable[..., Monitor]


@pytest.fixture(scope="session")
def reference() -> Reference:
    """Features age, dose and sex; a numeric prediction."""
    random = np.random.default_rng(7)
    rows = {
        "age": random.normal(50, 10, 500),
        "dose": random.exponential(2, 500),
        "sex": random.choice(["f", "m"], 500).tolist(),
    }
    return Reference.from_data(rows, random.normal(0, 1, 500))


@pytest.fixture
def open_monitor(tmp_path: Path, reference: Reference) -> Iterator[Open]:
    """`open_monitor(text="", **more)`: a monitor with a data folder of its own; all are closed at the end."""
    opened: list[Monitor] = []

    def begin(text: str = "", **more: Any) -> Monitor:
        given = {"reference": reference, "data": tmp_path / "data", **more}
        monitor = Monitor.open(Config.from_text('[window]\nfold = "100ms"\n' + text), **given)
        opened.append(monitor)
        return monitor

    yield begin
    for monitor in opened:
        monitor.close()
