"""A hook of MkDocs: the site also has pages that lie outside of docs/, and notebooks.

They keep their place in the repository: a link from `docs/speed.md` to
`../benchmarks/speed/RESULTS.md` holds on both. A notebook becomes a page of its text
and code; formulas become MathML, which browsers show without a script.
"""

import html
import json
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

OUTSIDE = (
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/*/*.md",
    "benchmarks/training_free/columns.csv",
    "notebooks/*.ipynb",
)
# What the extension `arithmatex` leaves of a formula.
FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<text>.+?)\\[)\]]</(?P=tag)>',
    re.DOTALL,
)
TOP = """

!!! note "Run it"

    The [notebook]({name}) is in the folder `notebooks` of the repository and of the
    installed package. Its pictures and numbers appear when it runs, which takes a
    minute or two on a CPU.

"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    root = Path(config.docs_dir).parent
    for path in (path for pattern in OUTSIDE for path in sorted(root.glob(pattern))):
        name = path.relative_to(root).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
        if path.suffix == ".ipynb":
            page, text = name.replace(".ipynb", ".md"), notebook(path)
            files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Links between docs/ and the folder above it lose that step, also to notebooks."""
    if page.file.src_uri.startswith("notebooks/"):
        return re.sub(r"`docs/(\w+\.md)`", r"[`docs/\1`](../\1)", markdown)
    markdown = re.sub(r"(notebooks/\w+)\.ipynb\)", r"\1.md)", markdown)
    return re.sub(r"\]\((?:\.\./|docs/)", "](", markdown)


def on_page_content(content: str, **_: object) -> str:
    """Formulas become MathML."""
    return FORMULA.sub(formula, content)


def notebook(path: Path) -> str:
    """The Markdown of a notebook: its text, and its code in blocks."""
    cells = json.loads(path.read_text())["cells"]
    texts = [
        "".join(cell["source"])
        if cell["cell_type"] == "markdown"
        else f"```python\n{''.join(cell['source'])}\n```"
        for cell in cells
    ]
    return "\n\n".join([texts[0], TOP.format(name=path.name), *texts[1:]])


def formula(found: re.Match[str]) -> str:
    """Within a line or in one of its own."""
    display = "block" if found["tag"] == "div" else "inline"
    return convert(html.unescape(found["text"]), display=display)
