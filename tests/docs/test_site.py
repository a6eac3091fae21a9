"""The documentation as a site: built strictly, whole without a network, and without a link that leads nowhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """HTML of each page of the site."""
    site = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(build, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {path: path.read_text("utf-8") for path in site.rglob("*.html") if path.name != "404.html"}


def test_every_link_and_anchor_of_the_site_leads_somewhere(pages: dict[Path, str]) -> None:
    ids = {path: set(re.findall(r'\b(?:id|name)="?([^" >]+)', text)) for path, text in pages.items()}
    missing = []
    for path, text in pages.items():
        for link in set(re.findall(r'\b(?:href|src)="?([^" >]+)', text)):
            target, anchor = urldefrag(unescape(link))
            if re.match(r"\w+:", target):
                continue
            file = (path.parent / unquote(target)).resolve() if target not in ("", ".") else path
            file = file / "index.html" if file.is_dir() else file
            if not file.exists() or (anchor and unquote(anchor) not in ids[file]):
                missing.append(f"{path.name}: {link}")
    assert missing == []


def test_no_page_loads_anything_from_another_host(pages: dict[Path, str]) -> None:
    loaded = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"?((?:https?:)?//[^\" >]+)|(mermaid)")
    assert {path.name: found.groups() for path, text in pages.items() if (found := loaded.search(text))} == {}
