"""Templates: read once, whatever happens to their files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from jinja2 import TemplateNotFound

from monitor.report import render


def test_an_update_of_the_files_changes_nothing_in_a_running_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(render.TEMPLATES, tmp_path / "templates")
    monkeypatch.setattr(render, "TEMPLATES", tmp_path / "templates")
    made = render.environment.__wrapped__()
    for path in render.TEMPLATES.iterdir():
        path.write_text("{% another version %}")
    (render.TEMPLATES / "new.html").write_text("new")
    for name in ("column.html", "macros.html", "report.html"):
        made.get_template(name)
    with pytest.raises(TemplateNotFound):
        made.get_template("new.html")
