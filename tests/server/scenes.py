"""Situations that the pages must show well: a runtime with a store, brought into each by real predictions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from monitor.clock import ManualClock, from_iso
from monitor.config.load import Config
from monitor.drift.result import Span
from monitor.reference.file import Reference
from monitor.runtime import Runtime
from monitor.store.records.references import accept
from tests.judging.test_performance import World

NOON = from_iso("2026-03-14T12:00:00Z")
NAMES = ("age", "bmi", "blood_pressure", "glucose", "smoker", "region")

#: Names that run, break out, hide or turn around wherever they are not written with care.
HOSTILE = (
    "<script>window.hurt=1</script>",
    '"><img src=x onerror="window.hurt=1">',
    "'; DROP TABLE drift; --",
    "../../etc/passwd",
    "..",
    "a/b//c?d=e&f=g#h",
    "%2e%2e%2f{{ 7*7 }}${7*7}",
    "=HYPERLINK(1)",
    "line\nbreak\ttab",
    "abc \u202egnp.exe",
    "עברית and 中文",
    "x" * 500,
    " ",
)


def rows(seed: int, n: int, shift: float = 0.0) -> list[list[object]]:
    """Rows of a made-up clinic; `shift` moves bmi and glucose by so many standard deviations, and the regions' mix."""
    rng = np.random.default_rng(seed)
    moved = min(shift * 0.25, 0.5)
    region = rng.choice(["north", "south", "east"], n, p=[0.5 - moved, 0.3, 0.2 + moved])
    return [
        list(row)
        for row in zip(
            rng.normal(52, 12, n).round(0).tolist(),
            rng.normal(26 + 4 * shift, 4, n).round(2).tolist(),
            rng.normal(120, 14, n).round(0).tolist(),
            np.exp(rng.normal(4.6 + 0.1 * shift, 0.2, n)).round(1).tolist(),
            rng.choice(["no", "yes"], n, p=[0.8, 0.2]).tolist(),
            region.tolist(),
            strict=True,
        )
    ]


def answers(given: list[list[object]]) -> list[float]:
    """What the made-up model says to each row."""
    return [round(2 * float(row[1]) + 0.5 * float(row[3]) + 0.1 * float(row[0]), 3) for row in given]  # type: ignore[arg-type]


def clinic() -> Reference:
    """The reference of the made-up clinic."""
    given = rows(1, 2000)
    return Reference.from_data(given, answers(given), names=NAMES)


class Scene:
    """A runtime under a clock that is moved by hand, without threads until it is served."""

    def __init__(self, folder: Path, reference: Reference, every: str = "5m", more: str = "") -> None:
        """`more`: of the settings."""
        self.clock = ManualClock(NOON)
        text = f'[data]\npath = "{folder / "data"}"\n[drift]\nevery = "{every}"\n{more}'
        self.runtime = Runtime.of_one(Config.from_text(text), reference, "v7", self.clock)
        self._seed = 100

    def predict(self, given: list[list[object]], results: list[object]) -> None:
        """Record predictions, now."""
        for row, result in zip(given, results, strict=True):
            self.runtime.only.record(row, [result])

    def minutes(self, count: int, n: int, shift: Callable[[int], float] = lambda _: 0.0, every: int = 5) -> None:
        """Let minutes pass with `n` predictions each, shifted by `shift(minute)`, and an evaluation each `every`."""
        for minute in range(count):
            self._seed += 1
            given = rows(self._seed, n, shift(minute))
            self.predict(given, list(answers(given)))
            self.clock.advance(60)
            if (minute + 1) % every == 0:
                self.runtime.evaluate()


def quiet(folder: Path) -> Scene:
    """Two hours of traffic like the training data."""
    scene = Scene(folder, clinic())
    scene.minutes(120, 30)
    return scene


def drifting(folder: Path) -> Scene:
    """Three hours, the last 70 minutes of them shifted; a dead letter among the notifications; one gap."""
    scene = Scene(folder, clinic())
    scene.minutes(180, 30, lambda minute: 1.2 if minute >= 110 else 0.0)
    scene.predict(
        [[60, 29.0, 120, 110, "no", "overseas"]] * 20 + [[60, 29.0, 120, 110, "vapes", "west"]] * 3, [150.0] * 23
    )
    scene.clock.advance(60)
    scene.runtime.evaluate()
    scene.runtime.writer.transaction(_troubles)
    return scene


def _troubles(connection: sqlite3.Connection) -> None:
    connection.execute(
        'INSERT INTO notifications (at, receiver, "group", sequence, kind, severity, event_id, model_version, message, '
        "state, attempts, attempted, settled, answer) VALUES ('2026-03-14T13:55:00Z', 'team-slack', 'drift', 1, "
        "'firing', 'warning', 'k3jd92msla', 'v7', '{}', 'dead', 9, '2026-03-14T14:10:00Z', '2026-03-14T14:10:00Z', "
        "'404: no_service, the webhook was revoked')"
    )
    connection.execute(
        'INSERT INTO gaps (kind, "start", "end", lost, detail) VALUES '
        "('dropped', '2026-03-14T12:41:07Z', '2026-03-14T12:41:09Z', 17, 'the disk was full')"
    )


def insufficient(folder: Path) -> Scene:
    """Twelve predictions, where fifty are needed."""
    scene = Scene(folder, clinic())
    scene.minutes(1, 12, every=1)
    return scene


def silent(folder: Path) -> Scene:
    """No traffic in the last hour, after some before."""
    scene = Scene(folder, clinic())
    scene.minutes(30, 30)
    scene.clock.advance(3600)
    scene.runtime.evaluate()
    return scene


def fresh(folder: Path) -> Scene:
    """Nothing has happened yet."""
    return Scene(folder, clinic())


def hostile(folder: Path) -> Scene:
    """Columns and categories with names that were chosen to do harm; all of them drifting."""
    rng = np.random.default_rng(5)
    reference = Reference.from_data(
        [[*rng.normal(0, 1, len(HOSTILE) - 1), HOSTILE[i % 3]] for i in range(500)],
        [HOSTILE[i % 2] for i in range(500)],
        names=HOSTILE,
        prediction_kind="categorical",
    )
    scene = Scene(folder, reference)
    given: list[list[object]] = [[*rng.normal(1.5, 1, len(HOSTILE) - 1).tolist(), HOSTILE[3]] for _ in range(300)]
    scene.predict(given, [HOSTILE[i % 5] for i in range(300)])
    scene.clock.advance(60)
    scene.runtime.evaluate()
    return scene


def wide(folder: Path, columns: int = 200) -> Scene:
    """Many columns, some of them drifting."""
    rng = np.random.default_rng(7)
    names = [f"feature_{i:03d}_of_a_wide_table" for i in range(columns - 1)]
    reference = Reference.from_data(rng.normal(0, 1, (1000, columns - 1)), rng.normal(0, 1, 1000), names=names)
    scene = Scene(folder, reference, "1m")
    for _ in range(20):
        values = rng.normal(0, 1, (60, columns - 1))
        values[:, ::17] += 0.9
        scene.runtime.only.recorder.record_many(values.T, [rng.normal(0, 1, 60)])
        scene.clock.advance(60)
        scene.runtime.evaluate()
    return scene


def kind_rows(rng: np.random.Generator, n: int, moved: bool = False) -> dict[str, list[object]]:
    """Columns of every kind; `moved`: each that can has moved, some to what was never seen."""
    cities = [f"city {i}" for i in range(30)]
    p = np.arange(30, 0, -1.0) ** 2
    amount = np.where(rng.random(n) < 0.4, 0.0, np.exp(rng.normal(3 + moved, 1.2, n)).round(2))
    height = np.where(rng.random(n) < 0.02 + 0.2 * moved, np.nan, rng.normal(170 + 12 * moved, 9, n).round(1))
    columns: dict[str, list[object]] = {
        "constant": [5.0] * n,
        "only_missing": [None] * n,
        "true_or_false": (rng.random(n) < 0.3 + 0.3 * moved).tolist(),
        "grade": rng.choice([1.5, 2.5, 3.5, 4.5], n, p=[0.1, 0.2, 0.3, 0.4][:: -1 if moved else 1]).tolist(),
        "city": (rng.choice(["Atlantis", None, *cities[2:]] if moved else cities, n, p=p / p.sum())).tolist(),
        "amount": amount.tolist(),
        "height": height.tolist(),
    }
    return columns


def kinds(folder: Path) -> Scene:
    """Half a day of columns of every kind: an hour without traffic, a shift, a new version, an accepted period."""
    rng = np.random.default_rng(11)
    given = kind_rows(rng, 3000)
    reference = Reference.from_data(given, rng.choice(["yes", "no"], 3000), prediction_kind="categorical")
    scene = Scene(folder, reference, "30m")
    for step in range(72):
        if step == 56:
            scene.runtime.close()
            scene.runtime = Runtime.of_one(scene.runtime.config, reference, "v8", scene.clock)
        if not 20 <= step < 26:
            rows = list(kind_rows(rng, 60, moved=step >= 40).values())
            scene.predict([list(row) for row in zip(*rows, strict=True)], rng.choice(["yes", "no"], 60).tolist())
        scene.clock.advance(600)
        if step % 3 == 2:
            scene.runtime.evaluate()
    now = scene.clock.time()
    scene.runtime.writer.transaction(lambda connection: accept(connection, Span(now - 6000, now), "Ada", "new", now))
    scene.runtime.evaluate()
    return scene


def worse(folder: Path) -> World:
    """A classifier whose outcomes come two hours late; after 30 hours four of ten are turned round."""
    world, waiting = World(folder / "data"), []
    for hour in range(50):
        waiting.append(world.predict(60, wrong=0.4 if hour >= 30 else 0.0))
        if hour >= 2:
            world.tell(*waiting.pop(0))
        world.clock.advance(3600)
        world.runtime.evaluate()
    return world


SCENES: dict[str, Callable[[Path], Scene | World]] = {
    "quiet": quiet,
    "drifting": drifting,
    "insufficient": insufficient,
    "silent": silent,
    "fresh": fresh,
    "hostile": hostile,
    "wide": wide,
    "worse": worse,
    "kinds": kinds,
}


@contextmanager
def opened(name: str, folder: Path) -> Iterator[Runtime]:
    """A scene, set; closed again at the end."""
    scene = SCENES[name](folder)
    try:
        scene.runtime.writer.start()
        yield scene.runtime
    finally:
        scene.runtime.close()
