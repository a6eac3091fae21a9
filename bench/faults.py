"""Break a serving process, or what it writes, under load, and count: acknowledged = stored + gaps.

    python -m bench.faults                       every fault; those of a full disk need root, for a small tmpfs
    python -m bench.faults segment-cut sql-lock  some

Four clients post rows over HTTP and count what was acknowledged. Then something is broken, the load goes on, and the
process is killed, unless the fault has ended it. The next start must account for every prediction: at least what was
acknowledged, and at most what was asked, as the sum of what is stored and what `gaps` says is lost.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.kill import Tally, ask, recorded, segments, start_and_recover, under_load
from bench.running import PATIENCE, Server, environment, train, wait_for

#: Small segments, so that some are full and some wait to be folded.
CONFIG = """
[data]
segment = "512KiB"
"""

#: Predictions before the fault, and with it: each some seconds of load, and some segments.
PREDICTIONS = 30_000


@dataclass
class Scene:
    """A serving process, and what has to be undone of a fault before the next start."""

    folder: Path
    server: Server
    tally: Tally
    undo: ExitStack
    predictions: int

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    def segment(self) -> Path:
        """The segment that is written now: the last but the one that was allocated ahead."""
        written = {}
        for path in segments(self.folder):
            with suppress(FileNotFoundError):  # folded, and deleted
                written[path] = path.stat().st_mtime_ns
        return max(written, key=lambda path: written[path])

    def go_on(self) -> None:
        """Wait until some more predictions are acknowledged, or the process has ended."""
        goal = self.tally.acknowledged + self.predictions
        wait_for(lambda: self.tally.acknowledged >= goal or self.server.process.poll() is not None, "more predictions")

    def database(self, sql: str) -> sqlite3.Connection:
        """Another program that uses the database."""
        connection = sqlite3.connect(self.data / "telltale.db", isolation_level=None, timeout=PATIENCE)
        connection.execute(sql).fetchone()
        self.undo.callback(connection.close)
        return connection


def nothing(scene: Scene) -> None:
    """Only the kill."""


def segment_cut(scene: Scene) -> None:
    """Truncate -s 0 on the segment in use."""
    os.truncate(scene.segment(), 0)


def segment_halved(scene: Scene) -> None:
    """Truncate to half."""
    path = scene.segment()
    os.truncate(path, path.stat().st_size // 2)


def segments_cut(scene: Scene) -> None:
    """`truncate -s 0` on all segments at once, that allocated ahead too."""
    for path in segments(scene.folder):
        with suppress(FileNotFoundError):  # folded, and deleted
            os.truncate(path, 0)


def segments_deleted(scene: Scene) -> None:
    """Rm data/journal/*.journal, and a kill at once."""
    for path in segments(scene.folder):
        path.unlink(missing_ok=True)
    scene.server.kill()


def segment_deleted(scene: Scene) -> None:
    """Rm of the segment in use; the process goes on."""
    scene.segment().unlink()


def sql_lock(scene: Scene) -> None:
    """BEGIN IMMEDIATE in another program."""
    scene.database("BEGIN IMMEDIATE")


def sql_exclusive_and_term(scene: Scene) -> None:
    """BEGIN EXCLUSIVE in another program, and SIGTERM while it lasts."""
    scene.database("BEGIN EXCLUSIVE")
    scene.go_on()
    assert scene.server.stop() == 0


def frozen_reader(scene: Scene) -> None:
    """A reader with an open cursor that is stopped."""
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN');"
        "c.execute('SELECT * FROM series').fetchone(); print(1, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(scene.data / "telltale.db")]
    reader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert reader.stdin is not None
    assert reader.stdout is not None
    reader.stdout.readline()
    reader.send_signal(signal.SIGSTOP)
    for pipe in (reader.stdin, reader.stdout):
        scene.undo.callback(pipe.close)
    scene.undo.callback(reader.wait)
    scene.undo.callback(reader.kill)


def folder_moved(scene: Scene) -> None:
    """Mv data elsewhere; it is put back before the next start."""
    elsewhere = scene.folder / "elsewhere"
    scene.data.rename(elsewhere)

    def back() -> None:
        shutil.rmtree(scene.data, ignore_errors=True)
        elsewhere.rename(scene.data)

    scene.undo.callback(back)


def lock_deleted(scene: Scene) -> None:
    """Rm data/lock, and a second process."""
    (scene.data / "lock").unlink()
    command = [sys.executable, "-m", "server", "--port", "0"]
    second = subprocess.run(command, cwd=scene.folder, env=environment(), capture_output=True, check=False)
    assert second.returncode == 4, second.stderr


def terminated(scene: Scene) -> None:
    """SIGTERM, twice."""
    scene.server.process.send_signal(signal.SIGTERM)
    assert scene.server.stop() == 0


def disk_full(scene: Scene) -> None:
    """The disk is full, to the last byte; there is room again before the next start."""
    filler = scene.data / "filler"

    def refused() -> bool:
        """Fill what is left, again and again, since folded segments give their room back."""
        with filler.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue
        return bool(scene.server.json("/healthz")["checks"][0]["condition"] == "failing")

    scene.undo.callback(filler.unlink)
    wait_for(refused, "predictions to find no room")


FAULTS: dict[str, Callable[[Scene], None]] = {
    "kill": nothing,
    "segment-cut": segment_cut,
    "segment-halved": segment_halved,
    "segments-cut": segments_cut,
    "segment-deleted": segment_deleted,
    "segments-deleted": segments_deleted,
    "sql-lock": sql_lock,
    "sql-lock-term": sql_exclusive_and_term,
    "frozen-reader": frozen_reader,
    "folder-moved": folder_moved,
    "lock-deleted": lock_deleted,
    "term": terminated,
    "disk-full": disk_full,
}


@dataclass(frozen=True)
class Outcome:
    """What the clients saw, and what the record has."""

    died: int | None
    tally: Tally
    stored: int
    lost: int | None

    @property
    def accounted(self) -> bool:
        """Whether every prediction is stored or counted as lost, or a gap says that the number lost is unknown."""
        beyond = self.stored + (self.lost or 0) - self.tally.acknowledged
        return beyond <= self.tally.unanswered and (self.lost is None or beyond >= 0)


def gaps(folder: Path) -> int | None:
    """Predictions that `gaps` says are lost; None where one does not know how many."""
    lost = [row[0] for row in ask(folder, "SELECT lost FROM gaps WHERE kind IN ('dropped', 'damaged')")]
    return None if None in lost else sum(lost)


def run(folder: Path, fault: Callable[[Scene], None], predictions: int = PREDICTIONS, config: str = CONFIG) -> Outcome:
    """One fault, on a folder that has a trained model, with so many predictions before it and after it."""
    server = Server(folder, config, warm=True).ready()
    with ExitStack() as undo, under_load(server) as tally:
        scene = Scene(folder, server, tally, undo, predictions)
        try:
            scene.go_on()
            wait_for(lambda: recorded(folder), "some of it to be folded")
            fault(scene)
            scene.go_on()
            died = server.process.poll()
        finally:
            server.kill()
    server, stored = start_and_recover(folder, config)
    assert server.stop() == 0
    return Outcome(died, tally, stored, gaps(folder))


def small_disk(folder: Path) -> bool:
    """Put the data folder on a tmpfs of 24 MB; False for who is not root."""
    (folder / "data").mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder / "data")]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def main() -> int:
    """Run and print a table; 1 where a prediction is not accounted for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=", ".join(FAULTS))
    names = parser.parse_args().faults or list(FAULTS)
    wrong = 0
    print("| fault | acknowledged | unanswered | stored | in gaps | every one accounted for | ended by it |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as temporary:
        trained = Path(temporary) / "trained"
        trained.mkdir()
        train(trained)
        for name in names:
            folder = Path(shutil.copytree(trained, Path(temporary) / name))
            mounted = name == "disk-full" and small_disk(folder)
            if name == "disk-full" and not mounted:
                print(f"| {name} | needs root, for a small disk |")
                continue
            try:
                found = run(folder, FAULTS[name])
            finally:
                if mounted:
                    subprocess.run(["umount", str(folder / "data")], check=False)
            wrong += not found.accounted
            figures = f"{found.tally.acknowledged:,} | {found.tally.unanswered} | {found.stored:,} | {found.lost}"
            ended = "" if found.died is None else str(found.died)
            print(f"| {name} | {figures} | {'yes' if found.accounted else 'NO'} | {ended} |", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
