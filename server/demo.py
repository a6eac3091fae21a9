"""`telltale demo`: a server with a week of made-up history, in a folder of its own.

Two models are fitted to made-up data: `delivery` says how many minutes a delivery takes, `payments` whether a payment
is a fraud. Their week is replayed, so everything on the pages came to be as it does in service.
"""

from __future__ import annotations

import argparse
import logging
import math
import pickle
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from monitor import words
from monitor.backtest.replay import Recording, replay
from monitor.capture.encode import Encoder
from monitor.capture.names import UnseenNames, names_file
from monitor.cli.replay import alerts_logged
from monitor.clock import HOUR, Clock, ManualClock, SystemClock, iso
from monitor.columns.column import Floats
from monitor.config.load import Config
from monitor.errors import DataError, TelltaleError
from monitor.outcomes.sums import Target
from monitor.recording import Watch
from monitor.reference.file import Reference, ReferenceInfo
from monitor.runtime import Runtime
from monitor.source.outcomes import read_outcome

#: Rows that each model is fitted to, and as many that it is tried on.
ROWS = 3000
#: Length of the history, in hours; when its changes began, and the second of them ended, in hours before its end.
HOURS, FARTHER, FOREIGN, DEARER = 168, 30.0, (100.0, 88.0), 60.0
#: Share of the rows of which it is told what came true.
KNOWN = 0.9
#: How often the history is judged, and its base windows, in seconds, until so many hours before its end: so it is made
#: in seconds, and the last day, which pages show first, is as fine as they draw it.
STAGES = (3 * HOUR, 1800.0, 24.0), (1440.0, 240.0, 0.0)

CONFIG = """\
# Made by `telltale demo`. docs/settings.md lists every setting.
[server]
port = {port}
[data]
path = "{folder}/data"
[drift]
window = "6h"
[outcomes]
[models.delivery]
path = "{folder}/delivery.pkl"
reference = "{folder}/delivery.prom"
[models.payments]
path = "{folder}/payments.pkl"
reference = "{folder}/payments.prom"
proba = true
[[rule]]
name = "drift"
reopen = "7d"
independent = true  # made-up rows are
[[rule]]
name = "performance"
statistic = "performance"
window = "1d"       # the default is a week; the harm of this demo began yesterday
severity = "critical"
"""

Rng = np.random.Generator
Columns = dict[str, Any]


class Story(NamedTuple):
    """A model's data.

    `rows`: columns and what came true, by how long ago each row is, in hours, shape (n,). `busy`: predictions an hour,
    by the hour of the day. `delay`: hours until an outcome is known, on average.
    """

    rows: Callable[[Rng, Floats], tuple[Columns, Any]]
    busy: Callable[[int], float]
    delay: float


def deliveries(rng: Rng, ago: Floats) -> tuple[Columns, Any]:
    """Deliveries: lately farther away, where roads are slow, and dearer, which does not matter."""
    n = len(ago)
    distance = rng.gamma(3.0, 1.1, n) * np.where(ago < FARTHER, 1.5, 1.0)
    value = rng.gamma(5.0, 6.0, n) * np.where(ago < DEARER, 1.5, 1.0)
    items = 1.0 + rng.poisson(1.6, n)
    weather = rng.choice(["dry", "rain", "snow"], n, p=[0.68, 0.27, 0.05])
    courier = rng.choice(["bike", "scooter", "car"], n, p=[0.5, 0.3, 0.2])
    minutes = 7 + 3.5 * distance + 1.4 * items + 4 * (weather == "rain") + 11 * (weather == "snow")
    minutes += 3 * (courier == "car") + 0.6 * np.maximum(distance - 4, 0) ** 2 + rng.normal(0, 2.5, n)
    columns = {"distance_km": distance.round(2), "order_value": value.round(2), "items": items}
    return columns | {"weather": weather.tolist(), "courier": courier.tolist()}, minutes.round(1)


def payments(rng: Rng, ago: Floats) -> tuple[Columns, Any]:
    """Payments: a few days ago some came from a country that the model does not know."""
    n = len(ago)
    amount, age = rng.lognormal(3.4, 0.8, n), rng.exponential(400, n)
    country = rng.choice(["AT", "CH", "DE", "FR", "IT"], n, p=[0.12, 0.08, 0.5, 0.2, 0.1]).astype(object)
    country[(ago > FOREIGN[1]) & (ago < FOREIGN[0]) & (rng.random(n) < 0.2)] = "PT"
    device = rng.choice(["known", "new"], n, p=[0.85, 0.15])
    score = -4 + 2.5 * np.log(amount / 30) + 4 * (device == "new") - age / 300
    fraud = np.where(rng.random(n) < 1 / (1 + np.exp(-score)), "fraud", "fine")
    columns = {"amount": amount.round(2), "card_age_days": age.round()}
    return columns | {"country": country.tolist(), "device": device.tolist()}, fraud.tolist()


STORIES = {
    "delivery": Story(deliveries, lambda hour: 30 + 170 * math.exp(-(((hour - 18) / 4) ** 2)), 1.5),
    "payments": Story(payments, lambda hour: 110 - 80 * math.cos((hour - 3) / 12 * math.pi), 12.0),
}


def prepare(folder: Path, port: int, now: float, seed: int) -> Config:
    """Fit the models, and write them, their references and the settings into a folder."""
    config = folder / "config.toml"
    config.write_text(CONFIG.format(port=port, folder=folder), "utf-8")
    for place, (name, story) in enumerate(STORIES.items()):
        _fit(name, story, np.random.default_rng([seed, place]), folder, iso(int(now)))
    return Config.load(config)


def _fit(name: str, story: Story, rng: Rng, folder: Path, created: str) -> None:
    """Write a model and its reference, with a baseline from rows that it was not fitted to."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    from train.holdout import baseline_from_rows

    columns, came = story.rows(rng, np.full(ROWS, np.inf))
    held, came_there = story.rows(rng, np.full(ROWS, np.inf))
    texts = [position for position, block in enumerate(columns.values()) if isinstance(block, list)]
    numbers = [position for position in range(len(columns)) if position not in texts]
    steps = (OneHotEncoder(handle_unknown="ignore"), texts), (StandardScaler(), numbers)
    estimator = LogisticRegression(max_iter=1000) if isinstance(came, list) else LinearRegression()
    model = make_pipeline(make_column_transformer(*steps), estimator).fit(_stack(columns.values()), came)

    def predict(blocks: Sequence[Any]) -> list[Any]:
        rows = _stack(blocks)
        shares = model.predict_proba(rows).T if hasattr(model, "classes_") else []
        return [model.predict(rows), *shares]

    names = ["prediction", *(f"proba_{label}" for label in getattr(model, "classes_", ()))]
    content = pickle.dumps(model, protocol=5)
    info = ReferenceInfo(model_sha256=sha256(content).hexdigest(), created=created, source="made-up rows of the demo")
    answers = dict(zip(names, predict(list(columns.values())), strict=True))
    reference = Reference.from_data(columns, answers, labels=getattr(model, "classes_", ()), info=info)
    rows, source = list(held.values()), "rows that it was not fitted to"
    baseline = baseline_from_rows(reference.schema, rows, came_there, predict, source=source)
    replace(reference, baseline=baseline).save(folder / f"{name}.prom")
    (folder / f"{name}.pkl").write_bytes(content)


def _stack(blocks: Any) -> Any:
    return np.stack([np.asarray(block, dtype=object) for block in blocks], axis=1)


def record(story: Story, rng: Rng, now: float, encoder: Encoder, target: Target, model: Any) -> Recording:
    """The predictions of the week that ends now, and their outcomes."""
    hours = now + HOUR * np.arange(-HOURS, 0)
    counts = rng.poisson([story.busy(int(at // HOUR) % 24) for at in hours])
    times = np.sort(np.repeat(hours, counts) + HOUR * rng.random(counts.sum()))
    columns, came = story.rows(rng, (now - times) / HOUR)
    blocks = list(columns.values())
    moments = (times * 1e9).astype(np.int64)
    recording = Recording(moments, np.arange(len(times)), encoder.table([*blocks, *model.answer_columns(blocks)]))
    true = np.where(rng.random(len(times)) < KNOWN, [read_outcome(target, value) for value in came], np.nan)
    delays = (story.delay * HOUR * 1e9 * rng.uniform(0.5, 1.5, len(times))).astype(np.int64)
    recording.add_outcomes(true, moments + delays)
    return recording


def make_history(config: Config, now: float, seed: int) -> None:
    """Replay a week up to the last evaluation into the data folder."""
    from server.reload import load_all

    watches, recordings = [], {}
    for place, (name, (watch, model, _, _)) in enumerate(load_all(config)[0].items()):
        schema, journal = watch.reference.schema, Path(config.data.path) / "journal" / name
        journal.mkdir(parents=True)
        encoder = Encoder(schema, UnseenNames(names_file(journal, schema), schema, config.data.keep_unseen))
        rng, target = np.random.default_rng([seed, place, 1]), watch.reference.target
        recordings[name] = record(STORIES[name], rng, now, encoder, target, model)
        watches.append(watch)
    past = ManualClock(now - HOURS * HOUR)
    for every, base, end in STAGES:
        coarse = replace(config, drift=replace(config.drift, every=every), window=replace(config.window, base=base))
        with alerts_logged(False):
            opening = partial(_open, coarse, watches, past)
            replay(opening, past, coarse, recordings, end=(now - end * HOUR) // every * every)


def _open(config: Config, watches: Sequence[Watch], clock: Clock, _base: float, _rounds: float) -> Runtime:
    """Open a runtime for `replay`, whose own base windows and rounds are not used."""
    runtime = Runtime(config, watches, clock)
    runtime.maintain_every = math.inf  # a week is not old enough to be rolled up
    return runtime


@contextmanager
def _folder(data: str | None) -> Iterator[Path]:
    """The folder of `--data`, which must be empty and stays; or one that is deleted at the end. Raises DataError."""
    if data is None:
        with tempfile.TemporaryDirectory(prefix="telltale-demo-") as name:
            yield Path(name)
        return
    path = Path(data).absolute()
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise DataError(f"--data {data}: is not an empty folder; the demo touches nothing that is there")
    path.mkdir(parents=True, exist_ok=True)
    yield path


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(f"{words.program()} demo", description="Serve two made-up models, a week old.")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: any free one)")
    parser.add_argument("--data", metavar="DIR", help="keep everything in this folder, which must be empty")
    parser.add_argument("--seed", type=int, default=20, help="another number makes other rows (%(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the history, serve it until told to stop, and clear up; return the process's exit code."""
    options = build_parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # until the server takes it, so that the folder is deleted
    try:
        with _folder(options.data) as folder:
            print(f"Making a week of history in {folder} ...", flush=True)
            now = SystemClock().time()
            config = prepare(folder, options.port, now, options.seed)
            make_history(config, now, options.seed)

            from server.run import opened
            from server.serve import serve

            with opened(config) as (server, runtime):
                runtime.evaluate()
                address = f"http://127.0.0.1:{server.effective_port}"
                print("\n".join(welcome(address, folder, options.data is not None)), flush=True)
                serve(server)
    except KeyboardInterrupt:
        return 130
    except TelltaleError as error:
        print(f"{words.program()} demo: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def welcome(address: str, folder: Path, kept: bool) -> list[str]:
    """What to look at, and what becomes of the folder."""
    return [
        f"Two models with a week of history: {address}",
        f"  what is wrong, and why        {address}/models/delivery/",
        f"  is the model still right?     {address}/models/delivery/performance",
        f"  an alert that came and went   {address}/models/payments/alerts",
        f"The same in the terminal: {words.program()} status --config {folder}/config.toml",
        "Ctrl-C stops it" + (f"; everything stays in {folder}" if kept else ", and deletes all that it made"),
    ]


if __name__ == "__main__":
    sys.exit(main())
