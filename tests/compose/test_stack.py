"""The configuration of the stack, as the programs that read it see it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.running import PATIENCE
from server.__main__ import build_parser, configure
from server.guard import Guard

COMPOSE = Path(__file__).parents[2] / "compose"
SECRETS = {
    "slack_webhook_url": "https://hooks.example.com/services/it's",
    "telegram_bot_token": "123:abc",
    "telegram_chat_id": "-100200",
}


def needs(command: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(command), reason=f"{command} is not installed")


def written(folder: Path, environment: dict[str, str], secrets: Path) -> Path:
    """Alertmanager's configuration as start.sh writes it."""
    target = folder / "alertmanager.yml"
    subprocess.run(
        ["sh", str(COMPOSE / "alertmanager/start.sh"), "--write-only"],
        env={"PATH": os.environ["PATH"], "CONFIG": str(target), "SECRETS": str(secrets), **environment},
        check=True,
        capture_output=True,
    )
    assert target.stat().st_mode & 0o077 == 0
    target.write_text(target.read_text().replace("/etc/alertmanager/", f"{COMPOSE / 'alertmanager'}/"))
    return target


@needs("amtool")
@pytest.mark.parametrize("source", ["nothing", "environment", "files"])
def test_alertmanager_accepts_every_way_to_give_secrets(tmp_path: Path, source: str) -> None:
    environment = {name.upper(): text for name, text in SECRETS.items()} if source == "environment" else {}
    if source == "files":
        for name, text in SECRETS.items():
            (tmp_path / name).write_text(text + "\n")
    path = written(tmp_path, environment, tmp_path)
    done = subprocess.run(["amtool", "check-config", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("slack_configs" in path.read_text()) == (source != "nothing")
    assert ("chat_id: -100200" in path.read_text()) == (source != "nothing")


@needs("sh")
@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"TELEGRAM_BOT_TOKEN": "1:a"}, "a Telegram bot token is given, but no chat id"),
        ({"TELEGRAM_CHAT_ID": "5"}, "a Telegram chat id is given, but no bot token"),
        ({"TELEGRAM_BOT_TOKEN": "1:a", "TELEGRAM_CHAT_ID": "@team"}, "the Telegram chat id must be a number"),
        ({"SLACK_WEBHOOK_URL": "hooks.slack.com/x"}, "the Slack webhook must be an http(s) address"),
    ],
)
def test_half_a_receiver_is_refused_in_one_line(tmp_path: Path, environment: dict[str, str], message: str) -> None:
    done = subprocess.run(
        ["sh", str(COMPOSE / "alertmanager/start.sh"), "--write-only"],
        env={"PATH": os.environ["PATH"], "CONFIG": str(tmp_path / "a.yml"), "SECRETS": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, f"{message}\n")


@needs("promtool")
def test_prometheus_accepts_its_configuration_and_rules() -> None:
    config = ["promtool", "check", "config", "--syntax-only", str(COMPOSE / "prometheus/prometheus.yml")]
    rules = ["promtool", "check", "rules", *map(str, (COMPOSE / "prometheus/rules").glob("*.yml"))]
    for command in (config, rules):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "scrape_interval: 15s" in (COMPOSE / "prometheus/prometheus.yml").read_text()


@needs("promtool")
def test_prometheus_accepts_what_the_document_says_to_add(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(scrape_configs:.*?)```", (COMPOSE.parent / "docs/grafana.md").read_text(), re.S)
    (tmp_path / "prometheus.yml").write_text(block)
    (tmp_path / "telltale").symlink_to(COMPOSE / "prometheus/rules")
    command = ["promtool", "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 rule files found" in done.stdout


def test_only_loopback_is_published_and_every_image_is_pinned() -> None:
    text = (COMPOSE / "compose.yaml").read_text()
    ports = re.findall(r"ports: \[(.*)\]", text)
    assert sorted(ports) == [f'"127.0.0.1:{port}"' for port in ("3000:3000", "5000:5000", "5001:5000", "9090:9090")]
    images = re.findall(r"image: (\S+)", text)
    assert all(re.search(r":v?\d+\.\d+\.\d+$", image) for image in images if image != "telltale-app")
    services = re.split(r"(?m)^  (?=\w+:$)", text.partition("\nservices:\n")[2].partition("\nvolumes:\n")[0])[1:]
    assert [service.partition(":")[0] for service in services] == [
        "app",
        "balance",
        "prometheus",
        "fleet",
        "alertmanager",
        "grafana",
    ]
    for service in services:
        for line in ("read_only: true", "cap_drop: [ALL]", "no-new-privileges:true", "healthcheck:", "restart:"):
            assert service.count(line) == 1, (service, line)


def test_files_that_the_stack_mounts_exist() -> None:
    text = (COMPOSE / "compose.yaml").read_text()
    mounted = re.findall(r"- (\./\S+?):/", text)
    assert len(mounted) >= 6
    for name in mounted:
        assert (COMPOSE / name).exists(), name


def replica(folder: Path, python: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run replica.sh with a stand-in for Python."""
    (folder / "python").write_text(f"#!/bin/sh\n{python}\n")
    (folder / "python").chmod(0o755)
    return subprocess.run(
        ["sh", str(COMPOSE / "replica.sh")],
        env={"PATH": f"{folder}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


@needs("sh")
def test_a_replica_takes_the_first_folder_that_is_free(tmp_path: Path) -> None:
    # The first two folders are held by others, the third one serves until it is told to stop.
    done = replica(tmp_path, 'case "$*" in\n*replica-[12]*) exit 4;;\nesac\necho "$*"\nexit 7')
    assert done.returncode == 7
    assert done.stdout.strip() == "-m server --host 0.0.0.0 --port 5000 --data /data/replica-3 --trust-network"


@needs("sh")
def test_a_replica_asks_for_the_token_where_one_is_set(tmp_path: Path) -> None:
    done = replica(tmp_path, 'echo "$*"', TELLTALE_TOKEN="correct-horse-battery-staple")
    assert done.stdout.strip().endswith("--data /data/replica-1 --token-env TELLTALE_TOKEN")
    assert "TELLTALE_TOKEN: ${TELLTALE_TOKEN:-}" in (COMPOSE / "compose.yaml").read_text()


def test_what_a_replica_passes_is_what_the_server_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELLTALE_TOKEN", "correct-horse-battery-staple")
    for more, has_token in ((["--trust-network"], False), (["--token-env", "TELLTALE_TOKEN"], True)):
        config = configure(build_parser().parse_args(["--host", "0.0.0.0", *more]))
        assert Guard.of(config.server).has_token == has_token
