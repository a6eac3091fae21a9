"""A client elsewhere: kill it and its server at random, keep the server away for an hour, and what a row costs.

    python -m bench.client --kills 100
    python -m bench.client --outage 3600
    python -m bench.client --cost

A client observes about a thousand rows a second, in ones and in fifties, and tells outcomes for a part of them. It
counts in a mapped file what it asks and what is acknowledged, so that the counts survive its death. At the end the
store must have at least what was acknowledged, and at most what was asked.
"""

from __future__ import annotations

import argparse
import mmap
import multiprocessing
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from bench.kill import ask
from bench.running import ROW, Server, wait_for
from monitor import Monitor, Reference

#: Small segments and quick folds, so that a kill meets every step of the path.
CONFIG = """
[model]
path = ""
[data]
segment = "256KiB"
[window]
fold = "100ms"
[outcomes]
"""


class Counts(NamedTuple):
    """Predictions asked and acknowledged, and outcomes."""

    asked: int
    acknowledged: int
    outcomes_asked: int
    outcomes: int


class Tally:
    """Counts in a file that survives the death of the process that counts."""

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            file.truncate(8 * len(Counts._fields))
            self._memory = mmap.mmap(file.fileno(), 8 * len(Counts._fields))
        self._words = memoryview(self._memory).cast("q")

    def add(self, field: int, more: int) -> None:
        """Count."""
        self._words[field] += more

    @property
    def counts(self) -> Counts:
        """What was counted."""
        return Counts(*self._words)


def observe(url: str, spool: Path, counts: Path) -> None:
    """Observe until SIGTERM; then bring all to the server."""
    stop, tally, rng = threading.Event(), Tally(counts), random.Random()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with Monitor.connect(url, spool=spool) as monitor:
        while not stop.wait(0.001):
            batch = 50 if rng.random() < 0.05 else 1
            tally.add(0, batch)
            ids = [monitor.observe(ROW, 150.0)] if batch == 1 else monitor.observe_many([ROW] * batch, [150.0] * batch)
            tally.add(1, batch)
            if rng.random() < 0.1:
                tally.add(2, len(ids))
                monitor.outcome_many(ids, [151.0] * len(ids))
                tally.add(3, len(ids))
        wait_for(lambda: _flushed(monitor), "the server to take all", 120)


def _flushed(monitor: object) -> bool:
    try:
        monitor.flush()  # type: ignore[attr-defined]
    except Exception as error:  # noqa: BLE001 - the server may be away
        print(error, file=sys.stderr)
        return False
    return True


class Service:
    """The client's process, forked: all is imported already."""

    def __init__(self, url: str, spool: Path, counts: Path) -> None:
        work = multiprocessing.get_context("fork").Process(target=observe, args=(url, spool, counts))
        work.start()
        self.process = work

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.join()

    def stop(self) -> None:
        """SIGTERM, upon which it sends what is left. Raises AssertionError if it fails."""
        self.process.terminate()
        self.process.join(180)
        assert self.process.exitcode == 0


def free_port() -> int:
    """A port that no program uses now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def begun(folder: Path, config: str = CONFIG) -> Iterator[tuple[list[Server], list[str]]]:
    """A server on a port that stays the same when it is started again; what replaces it goes into the list."""
    random = np.random.default_rng(1)
    Reference.from_data(random.normal(0, 0.05, (1000, len(ROW))), random.normal(150, 50, 1000)).save(
        folder / "histogram.prom"
    )
    arguments = ["--port", str(free_port())]
    servers = [Server(folder, config, *arguments, warm=True).ready()]
    yield servers, arguments
    servers[-1].stop()


def stored(server: Server) -> tuple[int, int]:
    """Predictions and joined outcomes that the store has, once all is folded."""
    predictions = server.predictions()
    joined = ask(server.folder, "SELECT count FROM tallies WHERE source = 'outcomes' AND result = 'joined'")
    return predictions, sum(count for (count,) in joined)


def run(folder: Path, kills: int, seed: int, longest: float = 1.0) -> tuple[Counts, int, int]:
    """Kill client or server `kills` times; returns what was counted by clients, and by the store."""
    rng = random.Random(seed)
    with begun(folder) as (servers, arguments):
        url = f"http://127.0.0.1:{arguments[1]}"
        tallies = [folder / "counts-0"]
        service = Service(url, folder / "spool", tallies[0])
        for number in tqdm(range(1, kills + 1), unit="kill", leave=False):
            wait_for(lambda: tallies[-1].exists() and Tally(tallies[-1]).counts.acknowledged, "the first row")
            time.sleep(rng.uniform(0.02, longest))
            if rng.random() < 0.5:
                servers[-1].kill()
                time.sleep(rng.uniform(0, longest))
                servers.append(Server(folder, CONFIG, *arguments, warm=True).ready())
            else:
                service.kill()
                tallies.append(folder / f"counts-{number}")
                service = Service(url, folder / "spool", tallies[-1])
        wait_for(lambda: tallies[-1].exists() and Tally(tallies[-1]).counts.acknowledged, "the first row")
        service.stop()
        counts = Counts(*np.sum([Tally(path).counts for path in tallies], axis=0).tolist())
        predictions, joined = stored(servers[-1])
    return counts, predictions, joined


def outage(folder: Path, seconds: int) -> str:
    """Keep the server away while a client observes a thousand rows a second, as fast as it goes; then drain."""
    config = '[outcomes]\n[model]\npath = ""\n'
    with begun(folder, config) as (servers, arguments):
        monitor = Monitor.connect(f"http://127.0.0.1:{arguments[1]}", spool=folder / "spool")
        servers[-1].stop()
        rows, answers = np.tile(np.array(ROW), (1000, 1)), np.full(1000, 150.0)
        start, began = time.time() - seconds, time.process_time()
        for second in tqdm(range(seconds), unit="s", leave=False):
            monitor.observe_many(rows, answers, start + second + np.arange(1000) / 1000)
        recorded = time.process_time() - began
        size = sum(path.stat().st_size for path in (folder / "spool").rglob("*.journal"))
        servers.append(Server(folder, config, *arguments, warm=True).ready())
        began, wall = time.process_time(), time.monotonic()
        wait_for(lambda: _flushed(monitor), "the server to take all", 600)
        sent, wall = time.process_time() - began, time.monotonic() - wall
        found, _ = stored(servers[-1])
        spent = cpu_seconds(servers[-1].process.pid)
        monitor.close()
    n = seconds * 1000
    return (
        f"{n} rows, {found} counted; spool {size / 1e6:.0f} MB; processor us a row: recorded {recorded / n * 1e6:.2f}, "
        f"sent {sent / n * 1e6:.2f}, server {spent / n * 1e6:.2f}; drained in {wall:.0f} s"
    )


def cpu_seconds(pid: int) -> float:
    """Processor seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def cost(folder: Path, rounds: int = 9, calls: int = 20_000) -> str:
    """Processor time of one `observe` in a client and in a monitor of the same process, in turns: the medians."""
    with begun(folder) as (_, arguments):
        elsewhere = Monitor.connect(f"http://127.0.0.1:{arguments[1]}", spool=folder / "spool")
        here = Monitor.open(data=folder / "here", reference=folder / "histogram.prom")
        spent: dict[str, list[float]] = {"client": [], "monitor": []}
        for _ in range(rounds):
            for name, monitor in (("client", elsewhere), ("monitor", here)):
                call, began = monitor.observe, time.thread_time()
                for _ in range(calls):
                    call(ROW, 150.0)
                spent[name].append((time.thread_time() - began) / calls * 1e6)
        elsewhere.close()
        here.close()
    medians = {name: float(np.median(values)) for name, values in spent.items()}
    ratio = medians["client"] / medians["monitor"]
    return f"one observe: client {medians['client']:.2f} us, monitor {medians['monitor']:.2f} us, ratio {ratio:.2f}"


def main() -> None:
    """Run what is asked for, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int)
    parser.add_argument("--outage", type=int, help="seconds of a thousand rows")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    works: list[Callable[[Path], object]] = []
    if options.kills:
        works.append(lambda folder: run(folder, options.kills, options.seed))
    if options.outage:
        works.append(lambda folder: outage(folder, options.outage))
    if options.cost:
        works.append(cost)
    for work in works:
        with tempfile.TemporaryDirectory() as name:
            print(f"seed {options.seed}: {work(Path(name))}")


if __name__ == "__main__":
    main()
