"""Stage 5: report the results. Writes `report.html`, `figures/` and `results.json`.

The report shows the artefacts in the workdir. It leaves out what belongs to a stage
that was not run, and says so; a damaged artefact is an error.
"""

import json
from pathlib import Path

import jinja2
import markupsafe
from ml_collections import ConfigDict

from difnas_jax.config import build
from difnas_jax.config.comments import as_flag, changes
from difnas_jax.report import captions, isometry, svg
from difnas_jax.report.drawings import draw
from difnas_jax.report.numbers import EARLIER, Values, collect, found_in
from difnas_jax.runtime import artifacts, files, processes
from difnas_jax.runtime.latency_table import LatencyTable, costs_beside
from difnas_jax.runtime.results import short
from difnas_jax.scoring.indicators import INDICATORS
from difnas_jax.search.candidates import SCORE
from difnas_jax.spaces import costs

TEMPLATE = "report.html.j2"
BEST_CANDIDATES = 10
Images = dict[str, list[str]]  # SVG files by name of the figure


def run(config: ConfigDict, workdir: Path) -> None:
    """Write the report of all artefacts in the workdir.

    Raises:
      InputError: a damaged artefact.
    """
    if not processes.is_main_process():
        return
    results = collect(config, workdir)
    images = {
        name: [svg.svg(figure, f"{name}{n}") for n, figure in enumerate(drawn)]
        for name, drawn in draw(config, workdir, results).items()
    }
    page = render(config, workdir, results, images)
    files.write_json(workdir / artifacts.RESULTS, results)
    for name, image in named(images).items():
        with files.atomic_write(workdir / artifacts.FIGURES / f"{name}.svg") as file:
            file.write(image)
    with files.atomic_write(workdir / artifacts.REPORT) as file:
        file.write(page)


def named(images: Images) -> dict[str, str]:
    """Each image by name; those of a figure with several parts are numbered."""
    return {
        f"{name}-{number}" if len(parts) > 1 else name: part
        for name, parts in images.items()
        for number, part in enumerate(parts, start=1)
    }


def render(config: ConfigDict, workdir: Path, results: Values, images: Images) -> str:
    """The report as one page of HTML that needs no other file.

    Args:
      config: the config of the run.
      workdir: where its artefacts are.
      results: what `collect` returns.
      images: by figure.
    """
    space, others = build.build_space(config), results["runners_up"] or ()
    scored = found_in(workdir / artifacts.CANDIDATES, artifacts.load_candidates)
    table = costs_beside(workdir / artifacts.LATENCY, space)
    latency = found_in(workdir / artifacts.LATENCY, LatencyTable.read)
    known = {SCORE, *table.tables}
    retrained = [
        {**row, **table.of_one(space.validate(row["architecture"]))}
        for row in (results, *others)
        if row["architecture"] is not None
    ]
    return (
        environment()
        .get_template(TEMPLATE)
        .render(
            results=results,
            space=space,
            images=images,
            retrained=retrained,
            captions=captions,
            indicator=INDICATORS[config.method.indicator],
            costs=table,
            latency=latency.lines() if latency else [],
            counting_rule=costs.COUNTING_RULE,
            candidates=None if scored is None else scored[:BEST_CANDIDATES],
            scored=[name for name in scored.columns if name not in known]
            if scored
            else [],
            absent=[n for n in captions.OF_STAGES if not _left(n, config, workdir)],
            config=config,
            changed=[as_flag(name, now) for name, (_, now) in changes(config).items()],
            isometry=isometry.measured(config, workdir),
            config_json=json.dumps(config.to_dict(), indent=2),
        )
    )


def _left(name: str, config: ConfigDict, workdir: Path) -> bool:
    """Whether a stage has left any artefact."""
    folder = build.stage_workdir(name, config, workdir)
    return any((folder / path).exists() for path in EARLIER[name].writes)


def environment() -> jinja2.Environment:
    """Where the templates of the pages are."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["short"] = short
    made.filters["whole"] = costs.in_words
    made.filters["inline"] = lambda image, title: markupsafe.Markup(
        svg.inline(image, markupsafe.escape(title))
    )
    return made
