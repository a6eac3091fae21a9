"""Lives of an outbox under crashes and faults: nothing lost, at most one repeat for each crash or lost reply.

    python -m bench.delivery --count 1000

Each life queues about thirty messages for one receiver, kills the sender at random steps (after the claim, after the
post, after the settlement), and has the provider refuse, fail, throttle, or take a message and lose the reply. The
store is a real SQLite file, closed and opened again at each crash; the clock is moved by hand. Also measures how long
a message takes from the evaluation to the provider when all is well.
"""

from __future__ import annotations

import argparse
import platform
import sqlite3
import statistics
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from monitor.clock import SystemClock
from monitor.notify.receiver import Limiter, Receiver
from monitor.sender import Senders
from monitor.store.file.database import connect
from monitor.store.file.writer import Writer
from tests.notify.test_sender import run_with_crashes
from tests.notify.world import World, firing
from tests.support.fake_providers import fake_provider


def crashes(count: int, first: int) -> dict[str, int]:
    total: Counter[str] = Counter()
    for seed in range(first, first + count):
        with tempfile.TemporaryDirectory() as folder:
            result = run_with_crashes(seed, Path(folder) / "telltale.db")
        if result["lost"] or result["unmarked"] or result["repeats"] > result["allowed"]:
            print(f"seed {seed}: {result}")
            total["lives that broke a promise"] += 1
        total.update(result)
    return dict(total)


def latency(messages: int) -> list[float]:
    """Seconds from just before the evaluation's transaction to the arrival at a provider on this machine."""
    took: list[float] = []
    with fake_provider() as provider, tempfile.TemporaryDirectory() as folder:
        world = World(
            f'[receivers.x]\nkind = "slack"\nurl = "{provider.url}/services/T/B/benchmark"\n',
            Path(folder) / "telltale.db",
        )
        world.writer.connection.close()
        writer = Writer(connect(Path(folder) / "telltale.db"), lambda: None, 1.0)
        writer.start()
        world.writer = writer  # type: ignore[assignment]
        world.receivers = (Receiver("x", world.receiver("x").notifier, Limiter()),)
        senders = Senders(world.receivers, writer, SystemClock())
        senders.start()
        for number in range(messages):
            alerts = [firing(f"c{n}", rule=f"rule {number}", at=world.clock.time()) for n in range(10)]
            threading.Event().wait(0.005)
            begun = time.monotonic()
            world.evaluate(alerts)
            senders.wake()
            if not provider.wait_for(lambda fake: len(fake.calls) > len(took)):
                raise SystemExit("a message did not arrive within 10 s")
            took.append(provider.calls[-1].at - begun)
            world.clock.advance(1)
        senders.stop()
        writer.stop()
    return sorted(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="lives with crashes and faults")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first life")
    parser.add_argument("--messages", type=int, default=300, help="messages to time")
    options = parser.parse_args()
    begun = time.monotonic()
    total = crashes(options.count, options.seed)
    spent = time.monotonic() - begun
    took = latency(options.messages)
    print(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {options.count} lives in {spent:.0f} s\n"
    )
    print("| lives | messages queued | crashes | lost replies | lost | repeats | unmarked repeats |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    columns = ("queued", "crashes", "lost replies", "lost", "repeats", "unmarked")
    print(f"| {options.count} | " + " | ".join(f"{total.get(name, 0):,}" for name in columns) + " |\n")
    print("| from evaluation to provider, one receiver, 10 columns | n | median | p99 | worst |")
    print("| --- | --- | --- | --- | --- |")
    p99 = took[int(0.99 * (len(took) - 1))]
    figures = (statistics.median(took), p99, took[-1])
    print(f"| milliseconds | {len(took)} | " + " | ".join(f"{1000 * figure:.1f}" for figure in figures) + " |")
    if total.get("lives that broke a promise"):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
