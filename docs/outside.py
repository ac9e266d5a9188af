"""A hook of MkDocs: the site also has pages that lie outside of docs/.

They keep their place in the repository: a link from `docs/speed.md` to
`../benchmarks/speed/RESULTS.md` holds on both.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

OUTSIDE = (
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/*/*.md",
    "benchmarks/training_free/columns.csv",
    "notebooks/*.ipynb",
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    root = Path(config.docs_dir).parent
    for path in (path for pattern in OUTSIDE for path in sorted(root.glob(pattern))):
        name = path.relative_to(root).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Links between docs/ and the folder above it lose that step."""
    return re.sub(r"\]\((?:\.\./|docs/)", "](", markdown)
