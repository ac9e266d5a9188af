"""The report in a browser: headless Chromium, a dark scheme, as wide as a telephone."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from test_report import disturbed, make_config, write_two

from difnas_jax.report import page, svg
from difnas_jax.report.drawings import draw
from difnas_jax.runtime import artifacts, files

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WIDTH = 400
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars "
    "--blink-settings=preferredColorScheme=0 --enable-logging=stderr --v=0 "
    "--virtual-time-budget=2000 --dump-dom"
).split()
# What a reader would see, measured; the report itself has no script.
PROBE = """
<script>
const box = element => element.getBoundingClientRect();
const luminance = colour => {
  const parts = colour.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255);
  const linear = parts.map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
  return .2126 * linear[0] + .7152 * linear[1] + .0722 * linear[2];
};
const page = luminance(getComputedStyle(document.body).backgroundColor);
const contrast = element => {
  const own = luminance(getComputedStyle(element).fill);
  return (Math.max(own, page) + .05) / (Math.min(own, page) + .05);
};
const drawings = [...document.querySelectorAll("figure svg")];
const texts = [...document.querySelectorAll("figure svg text")];
const scale = svg => box(svg).width / svg.viewBox.baseVal.width;
const size = text => parseFloat(getComputedStyle(text).fontSize);
const dot = document.querySelector("figure.pareto title").parentNode;
dot.scrollIntoView({block: "center"});
const at = [box(dot).x + box(dot).width / 2, box(dot).y + box(dot).height / 2];
const pointed = document.elementFromPoint(...at).closest("g:has(> title)");
window.parent.document.getElementById("measured").textContent = JSON.stringify({
  dark: page < .1,
  inner: window.innerWidth,
  scroll: document.documentElement.scrollWidth,
  right: Math.max(...drawings.map(svg => box(svg).right)),
  drawn: drawings.map(svg => [box(svg).height, svg.querySelectorAll("path").length]),
  sizes: [...new Set(texts.map(
    text => (size(text) * scale(text.ownerSVGElement)).toFixed(1)))],
  contrast: Math.min(...texts.map(contrast)),
  note: pointed && pointed.querySelector("title").textContent,
});
</script>
"""


def fullest_report(workdir: Path) -> str:
    """The page of a run that has nearly all that a page can show."""
    config = make_config("mbv2")
    write_two(config, workdir)
    rows = [disturbed(step, 0.25, layers=21) for step in range(1, 9)]
    files.write_json_lines(workdir / artifacts.DISTURBANCE, rows)
    results: Any = page.collect(config, workdir)
    other: Any = {"name": "small", "budget": {"max_macs": 2_000_000}, "score": 1.5}
    other |= {"architecture": "k3e3 " * 21, "macs": 1_999_000, "params": 54_321}
    other |= {"test_accuracy": 0.5, "report": "searches/small/report.html"}
    data: Any = {"stored": "8 x 8 grey", "notes": ["left_out_" * 30]}
    data |= {"images": {"train": 1200, "validation": 100, "test": 360}}
    data |= {"classes": [f"a class with a long name {n}" for n in range(30)]}
    results |= {"searches": [other], "data": data}
    results["provenance"]["search"] = {"command": "python -m " + "long" * 80}
    images = {
        name: [svg.svg(figure, f"{name}{n}") for n, figure in enumerate(figures)]
        for name, figures in draw(config, workdir, results).items()
    }
    return page.render(config, workdir, results, images)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on the path")
def test_in_the_dark_on_a_telephone(tmp_path: Path) -> None:
    path = tmp_path / "framed.html"
    # A window has a least width, a frame has none.
    text = html.escape(fullest_report(tmp_path / "run") + PROBE)
    frame = f'<iframe width="{WIDTH}" height="800" frameborder="0" srcdoc="{text}">'
    path.write_text(f'<!doctype html><pre id="measured"></pre>{frame}</iframe>')
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'browser'}"]
    command += [path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr
    (found,) = re.findall('<pre id="measured">(.*?)</pre>', done.stdout)
    measured = json.loads(html.unescape(found))
    assert measured["dark"] and measured["inner"] == WIDTH
    assert measured["scroll"] <= WIDTH and measured["right"] <= WIDTH
    assert len(measured["drawn"]) == 11
    assert all(height > 100 and paths > 10 for height, paths in measured["drawn"])
    assert len(measured["sizes"]) == 1 and float(measured["sizes"][0]) >= 11
    assert measured["contrast"] >= 4.5
    assert measured["note"].endswith("rank 1")
