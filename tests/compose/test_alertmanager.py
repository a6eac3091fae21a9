"""A real Alertmanager with the stack's configuration tells a real HTTP server what Slack and Telegram would be told."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from bench.running import PATIENCE
from tests.compose.live import Process, until

ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
COMPOSE = Path(__file__).parents[2] / "compose"

pytestmark = pytest.mark.skipif(not ALERTMANAGER, reason="alertmanager is not installed")


class World:
    """An Alertmanager that waits a second for more, and what arrives: (path, body)."""

    def __init__(self, folder: Path) -> None:
        self.arrived: Queue[tuple[str, dict[str, Any]]] = Queue()
        queue = self.arrived

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                queue.put((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
                answer = json.dumps({"ok": True, "result": {"message_id": 1, "chat": {"id": -100200}}}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self.receivers = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.receivers.serve_forever, args=(0.05,)).start()
        here = f"http://127.0.0.1:{self.receivers.server_address[1]}"
        config = folder / "alertmanager.yml"
        environment = {
            "PATH": os.environ["PATH"],
            "CONFIG": str(config),
            "SECRETS": str(folder),
            "SLACK_WEBHOOK_URL": f"{here}/slack",
            "TELEGRAM_BOT_TOKEN": "123:abc",
            "TELEGRAM_CHAT_ID": "-100200",
            "GRAFANA_URL": "https://grafana.example.com",
        }
        script = [str(COMPOSE / "alertmanager/start.sh"), "--write-only"]
        subprocess.run(["sh", *script], env=environment, check=True, capture_output=True)
        text = config.read_text().replace("/etc/alertmanager/", f"{COMPOSE / 'alertmanager'}/")
        text = text.replace(
            "    telegram_configs:\n      - ", f"    telegram_configs:\n      - api_url: {here}\n        "
        )
        config.write_text(text.replace("group_wait: 30s", "group_wait: 1s").replace("interval: 5m", "interval: 1s"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        flags = [f"--config.file={config}", f"--storage.path={folder}", f"--web.listen-address={self.address}"]
        assert ALERTMANAGER
        self.process = Process([ALERTMANAGER, *flags, "--cluster.listen-address="], folder, "alertmanager")
        until(self._ready, "Alertmanager to be ready")

    def _ready(self) -> bool | None:
        self.process.text()
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=PATIENCE) as reply:
                return True if reply.status == 200 else None
        except OSError:
            return None

    def alert(self, *alerts: tuple[dict[str, str], dict[str, str]], **more: str) -> dict[str, dict[str, Any]]:
        """Hand over alerts as (labels, annotations); what each receiver is told, by the first part of its path."""
        body = json.dumps([{"labels": labels, "annotations": texts, **more} for labels, texts in alerts]).encode()
        request = urllib.request.Request(
            f"http://{self.address}/api/v2/alerts", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE):
            pass
        found = dict(self.arrived.get(timeout=PATIENCE) for _ in range(2))
        return {path.split("/")[1].rstrip("0123456789:abc"): body for path, body in found.items()}

    def close(self) -> None:
        self.process.stop()
        self.receivers.shutdown()
        self.receivers.server_close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def drift(column: str) -> tuple[dict[str, str], dict[str, str]]:
    labels = {"alertname": "TelltaleDrift", "job": "telltale", "model_version": "v1", "column": column}
    texts = {
        "summary": f"feature {column} has drifted",
        "description": "Over the last 30 minutes.",
        "dashboard": f"/d/telltale-model-metrics?var-column={column}",
    }
    return labels, texts


def test_one_alert_says_what_and_where_and_then_that_it_is_over(world: World) -> None:
    told = world.alert(drift("a<b"))
    (slack,) = told["slack"]["attachments"]
    assert told["slack"]["username"] == "Telltale"
    assert slack["title"] == "[firing 1] TelltaleDrift of model v1"
    assert slack["title_link"] == "https://grafana.example.com/d/telltale-model-metrics?var-column=a<b"
    assert slack["text"] == "- feature a&lt;b has drifted\nOver the last 30 minutes.\n"
    assert slack["color"] == "danger"
    assert told["bot"]["chat_id"] in (-100200, "-100200")
    assert told["bot"]["text"] == (
        "[firing 1] TelltaleDrift of model v1\n- feature a<b has drifted\nOver the last 30 minutes.\n"
        "https://grafana.example.com/d/telltale-model-metrics?var-column=a<b"
    )
    over = world.alert(drift("a<b"), endsAt="2026-01-01T00:00:00Z", startsAt="2025-01-01T00:00:00Z")
    assert over["slack"]["attachments"][0]["title"] == "[resolved] TelltaleDrift of model v1"
    assert over["slack"]["attachments"][0]["color"] == "good"
    assert "\n- resolved: feature a<b has drifted\n" in over["bot"]["text"]


def test_two_hundred_alerts_are_one_readable_message(world: World) -> None:
    told = world.alert(*(drift(f"x{i:03}") for i in range(200)))
    assert told["slack"]["attachments"][0]["title"] == "[firing 200] TelltaleDrift of model v1"
    lines = told["bot"]["text"].splitlines()
    assert lines[1:3] == ["- feature x000 has drifted", "- feature x001 has drifted"]
    assert lines[-2:] == ["and 180 more", "https://grafana.example.com/d/telltale-drift-overview"]
    assert len(lines) == 1 + 20 + 2


def test_an_alert_on_telltale_itself_leads_to_its_health(world: World) -> None:
    told = world.alert(({"alertname": "TelltaleDown", "instance": "a:1"}, {"summary": "a:1 cannot be scraped"}))
    assert told["slack"]["attachments"][0]["title_link"] == "https://grafana.example.com/d/telltale-health"
    assert told["slack"]["attachments"][0]["title"] == "[firing 1] TelltaleDown"
