"""The site of the documentation, read as files."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jobs import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage "
    "--virtual-time-budget=8000 --dump-dom"
).split()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of `make docs`."""
    if importlib.util.find_spec("material") is None:
        pytest.skip("no mkdocs-material here")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    subprocess.run([*command, f"--site-dir={folder}"], cwd=ROOT, check=True)
    return folder


def pages(site):
    """Every page but that of an error, which a server alone shows."""
    return [page for page in site.rglob("*.html") if page.name != "404.html"]


def test_every_link_is_a_file(site):
    """Of pages, pictures, styles and scripts: no folder, and nothing from elsewhere."""
    for page in pages(site):
        text = page.read_text()
        for address in re.findall(r'\b(?:href|src)="?([^">\s]+)', text):
            if not re.match(r"#|https?:|mailto:|data:", address):
                target = page.parent / re.split("[#?]", address)[0]
                assert target.is_file(), f"{page}: {address}"
        assert not re.search(r'<(?:script|img|link)\b[^>]*"https?:', text), page


def test_notebooks_are_pages_with_formulas(site):
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text = Path(site, "notebooks", path.with_suffix(".html").name).read_text()
        assert "<math" in text and "arithmatex" not in text
        assert f'href="{path.name}"' in text and 'href="../' in text
    assert not [page for page in pages(site) if "arithmatex" in page.read_text()]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_search_works_without_a_server(site):
    address = f"{(site / 'index.html').as_uri()}?q=isometry"
    done = subprocess.run(
        [str(CHROMIUM), *FLAGS, address], capture_output=True, text=True, timeout=120
    )
    assert re.search(r"[1-9]\d* matching documents", done.stdout)
