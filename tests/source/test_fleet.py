"""A fleet of real servers, scraped by a real Prometheus and a real VictoriaMetrics, counted from what these know."""

from __future__ import annotations

import json
import shutil
import time
import urllib.parse
import urllib.request
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest

from bench.running import PATIENCE, environment
from bench.warm import WarmProcess
from monitor.clock import ManualClock
from monitor.config.load import Config
from monitor.drift.result import NOTHING
from monitor.judging.usual import Past
from monitor.reference.file import Reference
from monitor.runtime import Runtime
from monitor.source import prometheus
from monitor.store.audit.recompute import recompute
from monitor.store.audit.verify import verify
from monitor.store.file.database import connect_read_only
from tests.compose.live import EVERY, Process, Prometheus, free_ports, until
from tests.store.world import reference

pytestmark = [
    pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed")
    for program in ("prometheus", "victoria-metrics")
]


class Victoria(Process):
    """A real VictoriaMetrics that scrapes everything twice, as the two servers of a pair would."""

    def __init__(self, folder: Path, targets: list[str]) -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        jobs = [{"job_name": name, "static_configs": [{"targets": targets}]} for name in ("one", "two")]
        often = {"scrape_interval": EVERY, "scrape_timeout": EVERY}
        text = json.dumps({"global": often, "scrape_configs": jobs})
        (folder / "scrape.yml").write_text(text)
        given = ("-promscrape.config=scrape.yml", "-storageDataPath=vm", f"-httpListenAddr=127.0.0.1:{port}")
        super().__init__(["victoria-metrics", *given, "-search.latencyOffset=1ms"], folder, "victoria")


class Counted:
    """A fleet process that is pulled by hand."""

    def __init__(self, folder: Path, url: str | list[str], known: Reference) -> None:
        self.clock, self.url = ManualClock(time.time()), url
        kind = f'kind = "prometheus"\nurl = "{url}"' if isinstance(url, str) else f'kind = "scrape"\ntargets = {url}'
        text = f'[source]\n{kind}\nevery = "1s"\n[data]\npath = "{folder}"'
        self.runtime = Runtime.of_one(Config.from_text(text), known, "fleet", self.clock)

    def pull(self, rows: int, copies: int = 0) -> int:
        """Ask for the first second at which its server knows of so many rows of replicas that are up; returns all."""
        moment = until(lambda: knows(str(self.url), rows, copies), f"{rows} rows in {self.url}")
        self.clock.jump_to(moment + prometheus.LAG)
        return self.count()

    def checked(self) -> tuple[str, str, float | None]:
        source = self.runtime.only.pulled
        assert source is not None
        return source.check()

    def count(self) -> int:
        source = self.runtime.only.pulled
        assert source is not None
        source.pull(self.runtime.fold)
        while source.more:  # a minute has passed since it was pulled last: the machine is slow
            source.pull(self.runtime.fold)
        return self.runtime.only.totals.n

    def sees(self, words: str) -> bool | None:
        """Whether health has these words after asking for the last second."""
        flush(str(self.url))
        self.clock.jump_to(int(time.time()) + prometheus.LAG)
        self.count()
        return words in self.checked()[1] or None

    def scrape(self, rows: int) -> int:
        """Read the replicas until they have folded so many rows."""
        self.clock.jump_to(time.time())
        return until(lambda: rows if self.count() == rows else None, f"{rows} rows by scraping")


class Replicas:
    """Servers that are sent rows, each on a data folder; knows all rows that were sent."""

    def __init__(self, root: Path, known: Reference) -> None:
        self.root, self.random, self.sent = root, np.random.default_rng(3), list[list[object]]()
        self.running: dict[str, tuple[WarmProcess, int]] = {}
        known.save(root / "histogram.prom")

    def start(self, name: str, port: int) -> None:
        (self.root / name).mkdir(exist_ok=True)
        shutil.copy(self.root / "histogram.prom", self.root / name)
        (self.root / name / "config.toml").write_text('[model]\npath = ""\n[window]\nfold = "100ms"')
        self.running[name] = WarmProcess(["--port", str(port)], self.root / name, environment()), port

    def ready(self) -> None:
        for name, (_, port) in self.running.items():
            until(lambda port=port: get(f"http://127.0.0.1:{port}/readyz"), f"replica {name}")  # type: ignore[misc]

    def kill(self, name: str) -> None:
        server, _ = self.running.pop(name)
        server.kill()
        server.wait()
        server.stderr.close()

    def stop(self) -> None:
        for name in list(self.running):
            self.kill(name)

    def send(self, name: str, rows: int) -> None:
        drawn = self.random.normal(1.0, 1.0, (rows, 3))
        colours = self.random.choice(["red", "green", "violet"], rows).tolist()
        new: list[list[object]] = [[x, y, colour, z] for (x, y, z), colour in zip(drawn.tolist(), colours, strict=True)]
        new[0][0] = None
        body = json.dumps([{"features": one[:3], "prediction": one[3]} for one in new]).encode()
        address = f"http://127.0.0.1:{self.running[name][1]}/observe"
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
            assert json.load(reply)["observed"] == rows
        self.sent += new


def test_a_fleet_is_counted_exactly_whoever_dies_moves_or_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "LOOK_BACK", "3s")
    known, ports = reference(), free_ports(6)
    replicas, targets = Replicas(tmp_path, known), [f"127.0.0.1:{port}" for port in ports]
    with ExitStack() as stack:
        stack.callback(replicas.stop)
        asked = Prometheus(tmp_path)
        stack.callback(asked.stop)
        asked.scrape(targets)
        pair = Victoria(tmp_path, targets)
        stack.callback(pair.stop)
        for name, port in zip("abc", ports, strict=False):
            replicas.start(name, port)
        replicas.ready()
        fleets = [Counted(tmp_path / f"fleet-{at}", url, known) for at, url in enumerate((asked.url, pair.url))]
        for fleet in fleets:
            stack.callback(fleet.runtime.close)

        def pull(known: int, copies: int = 0) -> set[int]:
            return {fleet.pull(known, copies) for fleet in fleets}

        # One more sleeps through all of it, and catches up at the end.
        late = Counted(tmp_path / "late", asked.url, known)
        stack.callback(late.runtime.close)
        alone = Counted(tmp_path / "alone", [f"http://{target}" for target in targets[:5]], known)
        stack.callback(alone.runtime.close)
        assert (pull(0), late.pull(0), alone.scrape(0)) == ({0}, 0, 0)
        for name, rows in (("a", 200), ("b", 150), ("c", 100)):
            replicas.send(name, rows)
        assert (pull(450), alone.scrape(450)) == ({450}, 450)
        # One moves to another address, on its folder; one is new.
        replicas.kill("c")
        replicas.start("c", ports[3])
        replicas.start("d", ports[4])
        replicas.ready()
        replicas.send("c", 60)
        replicas.send("d", 40)
        replicas.send("a", 10)
        assert (pull(560), alone.scrape(560)) == ({560}, 560)
        # One is killed, and forgotten. When it is back, it has counted on before the fleet sees it.
        replicas.kill("b")
        assert (pull(560 - 150), alone.scrape(560)) == ({560}, 560)
        replicas.start("b", ports[1])
        replicas.ready()
        replicas.send("b", 30)
        assert (pull(590), late.pull(590), alone.scrape(590)) == ({590}, 590, 590)
        away = f"the fleet of http://{targets[0]}, http://{targets[1]}, ...: http://{targets[2]} "
        away += "cannot be reached: connection refused"
        assert alone.checked()[:2] == ("degraded", away)
        for fleet in fleets:
            assert fleet.checked() == ("ok", f"Prometheus at {fleet.url} is asked every 1s", None)
        for fleet in (*fleets, late, alone):
            check(fleet, replicas, tmp_path)
        # Two processes on copies of one folder would be taken for one.
        replicas.kill("d")
        shutil.copytree(tmp_path / "d", tmp_path / "e", ignore=shutil.ignore_patterns("*.sock"))
        replicas.start("d", ports[4])
        replicas.start("e", ports[5])
        replicas.ready()
        for fleet in fleets:
            until(lambda fleet=fleet: fleet.sees("is at two addresses"), f"words about copies in {fleet.url}")  # type: ignore[misc]
        replicas.send("e", 9)
        assert pull(599, copies=1) == {590}


def check(fleet: Counted, replicas: Replicas, root: Path) -> None:
    """What the fleet has counted and judged is what one process makes of all rows."""
    single = Runtime.of_one(
        Config.from_text(f'[data]\npath = "{root / "single"}"'), fleet.runtime.only.reference, "fleet", fleet.clock
    )
    with closing(single):
        x, y, colour, z = map(list, zip(*replicas.sent, strict=True))
        single.only.recorder.record_many([x, y, colour], [z])
        fleet.clock.advance(120)
        for runtime in (fleet.runtime, single):
            runtime.evaluate()
        assert fleet.runtime.only.totals.counts.tolist() == single.only.totals.counts.tolist()
        ours, theirs = (
            [one._replace(explanation=NOTHING) for one in runtime.only.latest.results]
            for runtime in (fleet.runtime, single)
        )
        assert ours == theirs
        assert {one.column for one in theirs if one.state == "drift"} == {"x0", "x1", "colour", "prediction"}
        audited = connect_read_only(fleet.runtime.folder.database)
        with closing(audited):
            assert verify(audited).ok
            again = recompute(audited, lambda _: None, Past(audited))
        assert (again.problems, again.verdicts > 0) == ([], True)
    shutil.rmtree(root / "single")


def knows(url: str, rows: int, copies: int) -> float | None:
    """The last whole second, if the replicas that the server knows of by then have so many rows in all.

    `copies`: addresses at which there is a replica that is at another one too; one that has moved is until it is
    forgotten there.
    """
    moment = float(int(time.time()))
    recent = f"last_over_time(telltale_predictions_total[{prometheus.LOOK_BACK}])"
    addresses, replicas = (f"count(count by ({labels}) ({recent}))" for labels in ("replica, instance", "replica"))
    query = f"sum(max by (replica) ({recent})) and {addresses} - {replicas} == {copies}"
    flush(url)
    body = get(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query, 'time': moment})}")
    found = json.loads(body)["data"]["result"] if body else []
    return moment if found and float(found[0]["value"][1]) == rows else None


def flush(url: str) -> None:
    """Have VictoriaMetrics answer with what it was given last, not seconds later; Prometheus has no such page."""
    get(f"{url}/internal/force_flush")


def get(address: str) -> bytes | None:
    try:
        with urllib.request.urlopen(address, timeout=PATIENCE) as reply:
            body: bytes = reply.read()
            return body
    except OSError:
        return None  # it is starting
