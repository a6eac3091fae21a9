"""Several models in one process: memory, processor time when idle, and the cost of a scrape and a page.

    python -m bench.models --models 20 --columns 20 --seconds 120

Each model is a linear regression of its own with a reference of its own; every one answers some traffic first. Idle
means that nothing comes in, with default settings but for `[outcomes]`. `--observed`: no model is served.
"""

from __future__ import annotations

import argparse
import pickle
import random
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LinearRegression

from bench.running import Server
from monitor import Reference

TICKS = 100


def make(folder: Path, models: int, columns: int, observed: bool = False) -> str:
    """Write models and references; returns the settings."""
    rng = np.random.default_rng(1)
    text = ["[outcomes]"]
    for index in range(models):
        rows = rng.normal(0, 1, (1000, columns))
        model = LinearRegression().fit(rows, rows.sum(axis=1) + rng.normal(0, 1, 1000))
        names = [f"x{column}" for column in range(columns)]
        reference = Reference.from_data(rows, model.predict(rows), names=names)
        (folder / f"m{index}.prom").write_text(reference.to_text())
        (folder / f"m{index}.pkl").write_bytes(pickle.dumps(model))
        path = "" if observed else f"m{index}.pkl"
        text.append(f'[models.m{index}]\npath = "{path}"\nreference = "m{index}.prom"')
    return "\n".join(text)


def used(pid: int) -> tuple[float, float]:
    """Processor seconds of a process so far, and the MB that it holds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return (int(fields[11]) + int(fields[12])) / TICKS, resident / 1024


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--rows", type=int, default=2000, help="predictions of each model before it idles")
    parser.add_argument("--observed", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        server = Server(Path(name), make(Path(name), options.models, options.columns, options.observed)).ready()
        pid, draw = server.process.pid, random.Random(1)
        print(f"{'started':<28}{used(pid)[1]:8.1f} MB")
        began = used(pid)[0]
        for index in range(options.models):
            rows = [[draw.gauss(0, 1) for _ in range(options.columns)] for _ in range(options.rows)]
            for start in range(0, options.rows, 500):
                part = rows[start : start + 500]
                observations = [{"features": row, "prediction": sum(row)} for row in part]
                body, what = (observations, "observe") if options.observed else (part, "predict")
                assert server.post(body, f"/models/m{index}/{what}")[0] == 200
        time.sleep(70)  # an evaluation of all of it, and the checkpoint after
        print(f"{'after traffic':<28}{used(pid)[1]:8.1f} MB{used(pid)[0] - began:8.2f} CPU s")
        for what, path in (("a scrape", "/metrics"), ("the first page", "/"), ("a model's page", "/models/m0/")):
            began = used(pid)[0]
            sizes = [len(server.get(path)[2]) for _ in range(10)]
            print(f"{what:<28}{sizes[-1] / 1000:8.1f} kB{(used(pid)[0] - began) / 10:8.3f} CPU s")
        began = used(pid)[0]
        time.sleep(options.seconds)
        cpu, resident = used(pid)
        print(f"{'idle':<28}{resident:8.1f} MB{100 * (cpu - began) / options.seconds:8.2f} % of a core")
        server.stop()


if __name__ == "__main__":
    main()
