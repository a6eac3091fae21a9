"""Performance estimated without outcomes, beside NannyML's CBPE, against what really came true.

    python -m bench.estimates DIR                     ours, and "nothing has changed"
    python -m bench.estimates DIR --peers PYTHON      NannyML as well (bench/requirements-real.txt)
    python -m bench.estimates --coverage              how often the 95 % intervals cover, 1,000 resamples

DIR has the sets of `bench.real`. The car loan set has a model's scores; what came true is in NannyML's package, so it
takes --peers. On elec (price up or down) and bike (more bicycles than the median) a gradient boosting model is fitted
on the first half of the training part, and the second half is held out. All see the same scores, in chunks that do
not overlap. A second table is of models of numbers (how many bicycles, which price): bins of the prediction, leaves of
a tree, and NannyML's DLE. Prints Markdown; docs/bench-estimates.md holds a run.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

METRICS = ("accuracy", "f1", "roc_auc", "brier", "log_loss")
#: Those that NannyML estimates too.
SHARED = METRICS[:3]
CHUNK = {"synthetic_car_loan": 5000, "elec": 672, "bike": 336}
FEATURES = {
    "elec": ("period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer"),
    "bike": ("temp", "atemp", "hum", "windspeed", "hr"),
}


def table(path: Path) -> dict[str, list[str]]:
    """Columns of a compressed CSV."""
    with gzip.open(path, "rt", newline="") as file:
        names, *rows = csv.reader(file)
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def scored(folder: Path, name: str, python: str | None) -> tuple[Any, ...] | None:
    """Score and outcome of held-out rows and of live rows, each of shape (2, n); None if what came true is unknown."""
    if name == "synthetic_car_loan":
        if not python:
            return None
        train, live = (table(folder / name / f"{part}.csv.gz") for part in ("train", "live"))
        came = json.loads(asked(python, "--car-loan"))
        held = np.array([train["y_pred_proba"], train["repaid"]], float)
        return held, np.array([live["y_pred_proba"], came], float)
    from sklearn.ensemble import HistGradientBoostingClassifier

    parts = split(folder, name, {"elec": "class", "bike": "cnt"}[name])
    if name == "bike":
        middle = np.median(np.concatenate([parts[0][1], parts[1][1]]))
        parts = [(rows, (came > middle).astype(float)) for rows, came in parts]
    model = HistGradientBoostingClassifier(max_iter=100, random_state=0).fit(*parts[0])
    return tuple(np.stack([model.predict_proba(rows)[:, 1], came]) for rows, came in parts[1:])


def split(folder: Path, name: str, aim: str) -> list[tuple[Any, Any]]:
    """Features, shape (n, features), and what came true: to fit, held out, and live in the order of time."""
    parts = []
    for file in ("train", "live"):
        part = table(folder / name / f"{file}.csv.gz")
        if "hr" in part:  # "2pm" is the hour 14
            part["hr"] = [str(int(one[:-2]) % 12 + 12 * (one[-2:] == "pm")) for one in part["hr"]]
        order = np.argsort(part["time"], kind="stable") if file == "live" else slice(None)
        features = np.array([part[feature] for feature in FEATURES[name] if feature != aim], float).T
        parts.append((features[order], np.array(part[aim], float)[order]))
    (rows, came), live = parts
    half = len(rows) // 2
    return [(rows[:half], came[:half]), (rows[half:], came[half:]), live]


def chunks(live: Any, size: int) -> list[Any]:
    return [live[:, at : at + size] for at in range(0, live.shape[1] - size + 1, size)]


def truth(chunk: Any) -> list[float]:
    """What really came true: `METRICS` of a chunk."""
    from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, log_loss, roc_auc_score

    score, came = chunk
    flagged = score > 0.5
    losses = [brier_score_loss(came, score), log_loss(came, score)]
    return [accuracy_score(came, flagged), f1_score(came, flagged), roc_auc_score(came, score), *losses]


def ours(held: Any, live: list[Any]) -> list[list[tuple[float, float, float]]]:
    """Estimate, and both ends of its interval, of each metric in each chunk."""
    from monitor.columns.binning import Binner
    from monitor.outcomes.estimates import bins_by_prediction, coarse
    from monitor.outcomes.performance import weighted
    from monitor.outcomes.sums import contribute
    from monitor.reference.file import Reference

    def answers(score: Any) -> dict[str, Any]:
        return {"flag": np.where(score > 0.5, "yes", "no").tolist(), "proba_yes": score}

    reference = Reference.from_data({"x": held[0]}, answers(held[0]))
    schema, target = reference.schema, reference.target
    known = coarse(schema, target, contribute(target, np.stack([held[0] > 0.5, held[0]], axis=1), held[1]))
    found = []
    for score, _ in live:
        counts = Binner(schema).fill(np.stack([score, score > 0.5, score], axis=1))[0][0]
        rows = bins_by_prediction(schema, target, counts)
        assert rows is not None
        estimates = weighted(known, rows, estimated=True)[0]
        found.append([(one.value, one.low, one.high) for one in (estimates[name] for name in METRICS)])
    return found


def asked(python: str, *arguments: str) -> str:
    """Last line that this file prints in the other interpreter."""
    done = subprocess.run([python, __file__, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def car_loan() -> None:
    """Run by the other interpreter: what came true for the live rows of the car loan set, as JSON."""
    import nannyml as peer

    _, _, targets = peer.datasets.load_synthetic_car_loan_dataset()
    print(json.dumps(targets.sort_values("id")["repaid"].astype(float).tolist()))


def nannyml(path: Path) -> None:
    """Run by the other interpreter: estimates of CBPE for each chunk, as JSON."""
    import nannyml as peer
    import pandas as pd

    given = json.loads(path.read_text())

    def frame(part: list[list[float]]) -> Any:
        score, came = np.array(part)
        return pd.DataFrame({"score": score, "flag": (score > 0.5).astype(int), "came": came.astype(int)})

    estimator = peer.CBPE(
        y_pred_proba="score",
        y_pred="flag",
        y_true="came",
        problem_type="classification_binary",
        metrics=list(SHARED),
        chunk_size=given["size"],
    )
    estimator.fit(frame(given["held"]))
    results = estimator.estimate(frame(given["live"])).filter(period="analysis").to_df()
    print(json.dumps([[float(results[name, "value"].iloc[row]) for name in SHARED] for row in range(len(results))]))


def compare(folder: Path, python: str | None) -> None:
    print("| set | metric | chunks | Telltale | NannyML | nothing has changed |\n" + "| --- " * 6 + "|")
    for name, size in CHUNK.items():
        both = scored(folder, name, python)
        if both is None:
            continue
        held, live = both
        parts = chunks(live, size)
        real, before = np.array([truth(part) for part in parts]), np.array(truth(held))
        mine = np.array(ours(held, parts))[:, :, 0]
        theirs = np.full_like(mine, np.nan)
        if python:
            with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                joined = np.concatenate(parts, axis=1)
                json.dump({"held": held.tolist(), "live": joined.tolist(), "size": size}, file)
                file.flush()
                theirs[:, : len(SHARED)] = json.loads(asked(python, "--as-nannyml", file.name))[: len(parts)]
        for at, metric in enumerate(METRICS):
            errors = [np.abs(one[:, at] - real[:, at]).mean() for one in (mine, theirs)]
            still = np.abs(before[at] - real[:, at]).mean()
            print(f"| {name} | {metric} | {len(parts)} | {errors[0]:.4f} | {errors[1]:.4f} | {still:.4f} |")


def compare_errors(folder: Path, python: str | None) -> None:
    """MAE of models of numbers, estimated by bin of the prediction, by leaf, and by a second model (NannyML's DLE)."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.tree import DecisionTreeRegressor

    print("\n| set, model | real MAE | by bin | by leaf | NannyML | nothing has changed |\n" + "| --- " * 6 + "|")
    for name, aim in (("bike", "cnt"), ("elec", "nswprice")):
        (x, y), *others = split(folder, name, aim)
        boosted = HistGradientBoostingRegressor(max_iter=100, random_state=0).fit(x, y)
        tree = DecisionTreeRegressor(max_leaf_nodes=32, random_state=0).fit(x, y)
        # The leaves of many trees are too many to count by: those of one tree that answers as they do.
        like = DecisionTreeRegressor(max_leaf_nodes=32, random_state=0).fit(x, boosted.predict(x))
        for title, model, leaves in (("boosted trees", boosted, like), ("one tree", tree, tree)):
            (held, came), (live, real) = others
            size = CHUNK[name]
            places = [slice(at, at + size) for at in range(0, len(live) - size + 1, size)]
            answers, errors = model.predict(live), np.abs(model.predict(live) - real)
            true = np.array([errors[place].mean() for place in places])
            lost = np.abs(model.predict(held) - came)
            found = [by_bin(model.predict(held), came, [answers[place] for place in places])]
            of, at = leaves.apply(held), leaves.apply(live)
            means = np.bincount(of, lost, at.max() + 1) / np.maximum(np.bincount(of, minlength=at.max() + 1), 1)
            found.append([means[at[place]].mean() for place in places])
            theirs = [float("nan")] * len(places)
            if python:
                with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                    sides = ((held, model.predict(held), came), (live, answers, real))
                    whole = {"held": sides[0], "live": [one[: places[-1].stop] for one in sides[1]]}
                    plain = {key: [one.tolist() for one in side] for key, side in whole.items()}
                    json.dump({**plain, "size": size}, file)
                    file.flush()
                    theirs = json.loads(asked(python, "--as-dle", file.name))[: len(places)]
            found += [theirs, [lost.mean()] * len(places)]
            missed = [np.abs(np.array(one) - true) for one in found]
            cells = " | ".join(
                f"{one[np.isfinite(one)].mean():.3g}" if np.isfinite(one).any() else "-" for one in missed
            )
            print(f"| {name}, {title} | {true.mean():.3g} | {cells} |", flush=True)


def by_bin(held: Any, came: Any, live: list[Any]) -> list[float]:
    """Our estimate of MAE for each chunk of predictions; NaN where too few held-out rows are like them."""
    from monitor.columns.binning import Binner
    from monitor.outcomes.estimates import bins_by_prediction, estimate
    from monitor.outcomes.sums import contribute
    from monitor.reference.file import Reference

    reference = Reference.from_data({"x": held}, held)
    schema, target = reference.schema, reference.target
    known = contribute(target, held[:, None], came)
    counts = [Binner(schema).fill(np.stack([one, one], axis=1))[0][0] for one in live]
    rows = [bins_by_prediction(schema, target, one) for one in counts]
    found = [estimate(known, one)[0].get("mae") for one in rows if one is not None]
    return [float("nan") if one is None else one.value for one in found]


def dle(path: Path) -> None:
    """Run by the other interpreter: estimates of NannyML's DLE for each chunk, as JSON."""
    import nannyml as peer
    import pandas as pd

    given = json.loads(path.read_text())

    def frame(rows: list[list[float]], answers: list[float], came: list[float]) -> Any:
        table = pd.DataFrame(np.array(rows), columns=[f"x{at}" for at in range(len(rows[0]))])
        return table.assign(answer=answers, came=came)

    held, live = frame(*given["held"]), frame(*given["live"])
    features = [name for name in held if name.startswith("x")]
    estimator = peer.DLE(features, "answer", "came", metrics=["mae"], chunk_size=given["size"])
    estimator.fit(held)
    results = estimator.estimate(live).filter(period="analysis").to_df()
    print(json.dumps([float(one) for one in results["mae", "value"]]))


def coverage() -> None:
    """How often the interval has the realised value, held-out rows and windows drawn anew, for shifts of the inputs."""
    rng = np.random.default_rng(0)

    def drawn(rows: int, shift: float) -> Any:
        score = 1 / (1 + np.exp(-1.5 * rng.normal(shift, 1, rows)))
        return np.stack([score, rng.random(rows) < score])

    print("| shift of the inputs, sd | held-out rows, window | " + " | ".join(METRICS) + " |\n" + "| --- " * 7 + "|")
    for shift in (0.0, 0.7):
        for held_rows, rows in ((2000, 1000), (5000, 500)):
            inside = np.zeros(len(METRICS))
            for _ in range(1000):
                live = drawn(rows, shift)
                (found,), real = ours(drawn(held_rows, 0.0), [live]), truth(live)
                inside += [low <= one <= high for (_, low, high), one in zip(found, real, strict=True)]
            cells = " | ".join(f"{share / 10:.1f} %" for share in inside)
            print(f"| {shift:g} | {held_rows:,}, {rows:,} | {cells} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--peers", help="interpreter of an environment with bench/requirements-real.txt")
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--as-nannyml", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--as-dle", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--car-loan", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.car_loan:
        car_loan()
    elif given.as_nannyml:
        nannyml(given.as_nannyml)
    elif given.as_dle:
        dle(given.as_dle)
    elif given.coverage:
        coverage()
    elif given.folder:
        compare(given.folder, given.peers)
        compare_errors(given.folder, given.peers)
    else:
        sys.exit("name the folder of the data sets, or --coverage")


if __name__ == "__main__":
    main()
