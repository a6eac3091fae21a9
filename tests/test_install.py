"""The wheel, built and installed as a user installs it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import monitor
from bench.running import ROOT, ROW, Server
from monitor.__main__ import telltale


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the programs of an environment that has the wheel, with this environment's packages behind it."""
    source, home = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("home")
    for name in ("monitor", "server", "train"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = ["wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", str(home), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True, capture_output=True)
    (wheel,) = home.glob("telltale-*.whl")
    venv.create(home / "env", symlinks=True)
    python = home / "env/bin/python"
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip())
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = ["--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, capture_output=True)
    return home / "env/bin"


def test_the_installed_program_trains_and_serves_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    program = str(installed / "telltale")
    said = subprocess.run([program, "--version"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert said == f"telltale {monitor.__version__}\n"
    subprocess.run([program, "train"], cwd=tmp_path, check=True, capture_output=True)
    server = Server(tmp_path, program=[program, "serve"]).ready()
    try:
        status, answer = server.post(ROW)
        assert (status, set(answer)) == (200, {"result", "prediction_id"})
        assert server.get("/")[0] == 200
    finally:
        server.stop()
    done = subprocess.run([program, "status"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert re.search(r"^predictions +1$", done.stdout, re.MULTILINE)


def test_the_wheel_has_types_and_templates(installed: Path) -> None:
    (packages,) = installed.parent.glob("lib/python*/site-packages")
    for name in ("monitor/py.typed", "server/py.typed", "train/py.typed", "monitor/report/templates/overview.html"):
        assert (packages / name).is_file(), name


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in [name for name in sys.modules if name.startswith(("train.", "sklearn"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert telltale(["train"]) == 2
    assert "pip install 'telltale[server]'" in capsys.readouterr().err


@pytest.mark.parametrize("order", [1, -1])
def test_the_program_tells_making_a_reference_from_looking_at_the_accepted_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], order: int
) -> None:
    given = [("--prediction", "y"), ("--data", str(tmp_path / "none.csv"))][::order]
    assert telltale(["reference", *(text for pair in given for text in pair)]) == 2
    assert "none.csv: there is no such file" in capsys.readouterr().err
    assert telltale(["reference", "--data", str(tmp_path)]) == 3
    assert "telltale reference: " in capsys.readouterr().err


def test_a_reference_never_replaces_its_own_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "rows.csv"
    data.write_text("a,y\n1,2\n3,4\n")
    given = ["--data", str(data), "--prediction", "y", "--output", str(data), "--force"]
    assert telltale(["reference", *given]) == 2
    assert "is the file of --data" in capsys.readouterr().err
    assert data.read_text() == "a,y\n1,2\n3,4\n"
