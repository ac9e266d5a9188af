from __future__ import annotations

import dataclasses
import html
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from ml_collections import ConfigDict

from difnas_jax import config as config_lib
from difnas_jax import spaces
from difnas_jax.config.build import build_space
from difnas_jax.config.stages import BY_DEFAULT
from difnas_jax.errors import InputError
from difnas_jax.report import (
    captions,
    diagrams,
    disturbance,
    drawings,
    figures,
    room,
    svg,
    tradeoff,
)
from difnas_jax.report import page as report
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.results import Results, short
from difnas_jax.scoring.indicators import INDICATORS
from difnas_jax.scoring.scorers import SCORERS
from difnas_jax.search.algorithms import ALGORITHMS
from difnas_jax.search.candidates import Candidates, compare, non_dominated
from difnas_jax.spaces.costs import cost_table

SPACES = {"digits": (16, 1, 10), "mbv2": (224, 3, 1000)}
SVG = "{http://www.w3.org/2000/svg}"
ONE_SIZE = {"", "10px"}
FIGURES = {"network", "indicator", "search", "pareto", "training"}


def make_config(name: str = "digits") -> ConfigDict:
    config = config_lib.default()
    size, channels, classes = SPACES[name]
    config.space.update(name=name, image_size=size, image_channels=channels)
    config.space.num_classes = classes
    config.data.source = "digits"
    config.seed = 3
    return config


def write_search(config: ConfigDict, workdir: Path) -> artifacts.FoundNetwork:
    """An indicator, and 30 random architectures scored by it."""
    space = build_space(config)
    rng = np.random.default_rng(0)
    table = np.where(space.allowed, rng.uniform(0.5, 1.5, space.allowed.shape), np.nan)
    artifacts.Indicator(table, {}, {}).save(workdir / artifacts.INDICATOR)
    genomes = np.array(
        [[rng.choice(layer.ops) for layer in space.layers] for _ in range(30)]
    )
    scores = table[np.arange(space.num_layers), genomes].sum(1)
    columns = {"score": scores, **cost_table(space).of(genomes)}
    found = Candidates(genomes, columns).best_first()
    front = found[non_dominated(found.scores, found.columns["macs"])]
    artifacts.save_candidates(workdir / artifacts.CANDIDATES, found)
    artifacts.save_candidates(workdir / artifacts.PARETO, front)
    history = [
        {"generation": g, "evaluated": 10 * g + 10, "best": 5.0 + g, "median": None}
        for g in range(3)
    ]
    files.write_json_lines(workdir / artifacts.SEARCH_HISTORY, history)
    architecture = space.validate(found.architectures[0])
    best = artifacts.FoundNetwork(
        space=space.name,
        architecture=architecture,
        ops=space.op_names(architecture),
        text=space.text(architecture),
        score=float(found.scores[0]),
        costs={name: int(found.columns[name][0]) for name in ("macs", "params")},
        budget={"min_macs": 0, "max_macs": int(found.columns["macs"].max())},
        seed=config.seed,
        provenance={},
    )
    best.save(workdir / artifacts.BEST)
    write_comparison(workdir, found, front)
    return best


def write_comparison(workdir: Path, found: Candidates, front: Candidates) -> None:
    """As if random search and the exact solver had seen the same networks."""
    names = "evolution", "random", "exact"
    seconds = {"evolution": 1.25, "random": 0.5, "exact": 0.0625}
    counts = {name: len(found) for name in names}
    rows = compare(dict.fromkeys(names, found), counts, seconds)
    rows[0] |= {"regret": 0.375, "share": 0.9875}
    values = {"chosen": "evolution", "rows": rows}
    files.write_json(workdir / artifacts.COMPARISON, values)
    artifacts.save_candidates(workdir / artifacts.EXACT_FRONT, front)


def write_training(workdir: Path, stage: str, count: int = 12) -> None:
    rows = [{"step": i, "loss": 2 / i, "accuracy": i / 20} for i in range(1, count)]
    if stage == "retrain":
        rows[-1] |= {"validation_accuracy": 0.5, "validation_loss": 0.3}
    files.write_json_lines(workdir / stage / "metrics.jsonl", rows)


def write_retrain(workdir: Path, architecture: tuple[int, ...]) -> None:
    write_training(workdir, "retrain")
    values = {
        "architecture": list(architecture),
        "test_accuracy": 0.9125,
        "test_examples": 360,
        "validation_accuracy": 0.875,
    }
    files.write_json(workdir / artifacts.RETRAIN_RESULT, values)


def write_marker(
    workdir: Path, stage: str, seconds: float, jax: str = "0.9.0", complete: bool = True
) -> None:
    # As the pipeline writes it: a stage that runs has no seconds yet.
    marker: dict[str, Any] = {"complete": complete, "versions": {"jax": jax}}
    marker |= {"config": {}, "inputs": {}}
    marker |= {"seconds": seconds} if complete else {}
    files.write_json(workdir / f"stages/{stage}.json", {"stage": stage, **marker})


def write_all(config: ConfigDict, workdir: Path) -> artifacts.FoundNetwork:
    write_training(workdir, "supernet", count=150)
    best = write_search(config, workdir)
    write_retrain(workdir, best.architecture)
    for seconds, stage in enumerate(BY_DEFAULT[:-1]):
        write_marker(workdir, stage, float(seconds))
    return best


def page_text(workdir: Path) -> str:
    return (workdir / artifacts.REPORT).read_text(encoding="utf-8")


@dataclasses.dataclass(frozen=True)
class Finished:
    config: ConfigDict
    workdir: Path
    best: artifacts.FoundNetwork
    page: str


@pytest.fixture(scope="module", params=SPACES)
def finished(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    config, workdir = make_config(request.param), tmp_path_factory.mktemp("run")
    best = write_all(config, workdir)
    report.run(config, workdir)
    return Finished(config, workdir, best, page_text(workdir))


def test_page_tells_everything(finished: Finished) -> None:
    best, page = finished.best, finished.page
    assert page.startswith("<!doctype html>")
    costs = [f"{cost:,}" for cost in best.costs.values()]
    for text in ("91.25 %", "of 360 images", *costs):
        assert text in page
    assert " ".join(best.ops) in page
    assert "was not run" not in page
    assert "multiply-add" in page[page.index("<footer>") :]


def test_page_compares_the_algorithms(finished: Finished) -> None:
    table = finished.page[finished.page.index('class="comparison"') :]
    table = table[: table.index("</table>")]
    for text in ("evolution", "random", "exact", "0.375", "98.75 %", "1.25", "0.06"):
        assert f">{text}</td>" in table
    results = files.read_json(finished.workdir / artifacts.RESULTS)
    assert [row["algorithm"] for row in results["comparison"]] == [
        "evolution",
        "random",
        "exact",
    ]


def test_page_without_comparison(tmp_path: Path) -> None:
    config = make_config()
    write_search(config, tmp_path)
    (tmp_path / artifacts.COMPARISON).unlink()
    (tmp_path / artifacts.EXACT_FRONT).unlink()
    report.run(config, tmp_path)
    assert 'class="comparison"' not in page_text(tmp_path)
    assert report.collect(config, tmp_path)["comparison"] is None


def test_exact_front_is_a_line_of_its_own() -> None:
    layers = build_space(make_config()).layers
    genomes = np.array([[layer.ops[0] for layer in layers]])
    columns = {"score": np.ones(1), "macs": np.array([2 * 10**6])}
    one = Candidates(genomes, columns)
    for labels in (["Pareto front"], ["Pareto front", "exact front"]):
        notes = ["the only one"]
        fronts = dict.fromkeys(labels, one)
        (axes,) = tradeoff.score_against_cost(one, fronts, "macs", notes=notes).axes
        assert [line.get_label() for line in axes.lines] == labels
        assert len({line.get_color() for line in axes.lines}) == len(labels)


def test_page_needs_no_other_file(finished: Finished) -> None:
    links = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", finished.page)
    assert links and all(link.startswith("#") for link in links)
    for text in ("<script", "<link", "@import", "http:", "https:"):
        assert text not in finished.page
    assert set(re.findall(r"url\(.", finished.page)) == {"url(#"}


def test_results(finished: Finished) -> None:
    results = files.read_json(finished.workdir / artifacts.RESULTS)
    best = json.loads(json.dumps(dataclasses.asdict(finished.best)))
    for key in ("space", "architecture", "ops", "costs", "score", "budget"):
        assert results[key] == best[key]
    assert (results["seed"], results["data_source"]) == (3, "digits")
    assert (results["test_accuracy"], results["validation_accuracy"]) == (0.9125, 0.875)
    assert results["seconds"] == dict(zip(BY_DEFAULT, range(4), strict=False))
    assert results["versions"] == {"jax": "0.9.0"}
    assert results["report"] == str(finished.workdir / artifacts.REPORT)


def test_figures_are_pictures_of_the_page(finished: Finished) -> None:
    """As files in plain colours, in the page in those of its style sheet."""
    paths = sorted((finished.workdir / artifacts.FIGURES).iterdir())
    assert {path.stem.partition("-")[0] for path in paths} == FIGURES
    assert len(paths) == len(FIGURES) + 2 == finished.page.count("<svg ")
    for path in paths:
        root = ElementTree.fromstring(path.read_text())
        assert len(list(root.iter(f"{SVG}path"))) > 5
    inlined = finished.page[finished.page.index("<svg ") :]
    for name, colour in svg.COLOURS.items():
        assert f"--{name}: " in finished.page and colour not in inlined


def test_text_of_figures_is_text_of_one_size(finished: Finished) -> None:
    for path in (finished.workdir / artifacts.FIGURES).iterdir():
        texts = list(ElementTree.fromstring(path.read_text()).iter(f"{SVG}text"))
        sizes = re.findall(r"font-size: (\w+)|font: (\w+)", path.read_text())
        assert len(texts) > 5 and {size for pair in sizes for size in pair} <= ONE_SIZE


def test_candidates_say_what_they_are(finished: Finished) -> None:
    best = finished.best
    page = finished.page[finished.page.index('<figure class="pareto">') :]
    notes = [html.unescape(note) for note in re.findall("(?s)<title>(.*?)</", page)]
    ops, indices, costs, score = notes[0].split("\n")
    assert len(notes) == 30 and ops == " ".join(best.ops)
    assert indices == "op indices " + " ".join(map(str, best.architecture))
    macs, params = best.costs.values()
    assert costs == f"{macs:,} MACs, {params:,} parameters"
    assert score == f"score {best.score:.6g}, rank 1"


def test_candidates_beyond_those_that_speak_are_one_image() -> None:
    config = make_config()
    space = build_space(config)
    genomes = np.array([[layer.ops[i % 2] for layer in space.layers] for i in range(9)])
    columns = {"score": np.arange(9.0)[::-1], **cost_table(space).of(genomes)}
    candidates = Candidates(genomes, columns)
    for count, images in ((9, 0), (4, 1)):
        notes = drawings.notes_of(space, candidates[:count])
        drawn = tradeoff.score_against_cost(candidates, {}, "macs", notes=notes)
        text = svg.svg(drawn, "pareto")
        assert (text.count("<title>"), text.count("<image")) == (count, images)


def test_the_same_artefacts_give_the_same_page(finished: Finished) -> None:
    paths = [finished.workdir / artifacts.REPORT, finished.workdir / artifacts.RESULTS]
    paths += (finished.workdir / artifacts.FIGURES).iterdir()
    before = [path.read_bytes() for path in paths]
    report.run(finished.config, finished.workdir)
    assert [path.read_bytes() for path in paths] == before


def test_text_of_the_config_is_escaped(tmp_path: Path) -> None:
    config = make_config()
    config.data.path = "<script>alert(1)</script>"
    report.run(config, tmp_path)
    assert "<script>" not in page_text(tmp_path)


def test_empty_workdir_says_what_is_missing(tmp_path: Path) -> None:
    config = make_config()
    report.run(config, tmp_path)
    page = page_text(tmp_path)
    for stage in BY_DEFAULT[:-1]:
        assert f"<code>{stage}</code> was not run" in page
    results = report.collect(config, tmp_path)
    assert results["architecture"] is None and results["test_accuracy"] is None


def test_without_retraining(tmp_path: Path) -> None:
    config = make_config()
    config.stages = ("supernet", "indicator", "search", "report")
    write_training(tmp_path, "supernet")
    best = write_search(config, tmp_path)
    report.run(config, tmp_path)
    page = page_text(tmp_path)
    assert "<code>retrain</code> was not run" in page
    assert "test accuracy" not in page
    assert f"{best.costs['macs']:,}" in page
    assert report.collect(config, tmp_path)["test_accuracy"] is None


def test_accuracy_of_another_network_is_not_shown(tmp_path: Path) -> None:
    config = make_config()
    best = write_all(config, tmp_path)
    write_retrain(tmp_path, (0,) * len(best.architecture))
    report.run(config, tmp_path)
    assert report.collect(config, tmp_path)["test_accuracy"] is None
    assert "91.25" not in page_text(tmp_path)
    assert "that of another network" in page_text(tmp_path)


def write_two(config: ConfigDict, workdir: Path) -> list[artifacts.FoundNetwork]:
    """As if the second of two kept networks had won."""
    best = write_all(config, workdir)
    space = build_space(config)
    architecture = tuple(layer.ops[0] for layer in space.layers)
    other = dataclasses.replace(
        best,
        architecture=architecture,
        ops=space.op_names(architecture),
        text=space.text(architecture),
        score=1.25,
        costs=cost_table(space).of_one(architecture),
    )
    best.save(workdir / artifacts.BEST, [other])
    first, second = (
        {
            "architecture": list(network.architecture),
            "ops": list(network.ops),
            **network.costs,
            "score": network.score,
            "validation_accuracy": accuracy,
            "test_accuracy": 1 - accuracy,
            "test_top5_accuracy": 0.9975,
            "retrained_in": f"retrain/networks/{number}",
        }
        for number, (network, accuracy) in enumerate([(other, 0.75), (best, 0.625)])
    )
    result = {**first, "runners_up": [second]}
    files.write_json(workdir / artifacts.RETRAIN_RESULT, result)
    (workdir / artifacts.RETRAIN_METRICS).unlink()
    write_training(workdir, "retrain/networks/0")
    config.search.keep = config.retrain.networks = 2
    return [other, best]


def test_the_retrained_winner_is_the_network_of_the_report(tmp_path: Path) -> None:
    config = make_config()
    winner, best = write_two(config, tmp_path)
    report.run(config, tmp_path)
    page = page_text(tmp_path)
    table = page[page.index('class="retrained"') :]
    table = table[: table.index("</table>")]
    rows = table.split("<tr")[2:]
    assert [row.startswith(' class="found"') for row in rows] == [True, False]
    for row, network, shown in zip(
        rows,
        (winner, best),
        (("75.00 %", "25.00 %"), ("62.50 %", "37.50 %")),
        strict=True,
    ):
        for text in (*shown, f"{network.costs['macs']:,}", " ".join(network.ops)):
            assert text in row
    assert "top-5 99.75 %" in page and '"training"' in page
    results = files.read_json(tmp_path / artifacts.RESULTS)
    assert results["ops"] == list(winner.ops) and results["costs"] == winner.costs
    assert results["score"] == 1.25 and results["test_accuracy"] == 0.25
    assert [row["ops"] for row in results["runners_up"]] == [list(best.ops)]
    lines = Results.of(tmp_path, results).lines()
    assert f"architecture: {winner.text}" in lines
    assert "test accuracy: 25.00 %, top-5 99.75 %" in lines
    chosen = "chosen by validation accuracy: retrain/networks/0, of 2 networks"
    assert chosen in lines


def test_results_of_other_networks_than_those_kept_are_not_shown(
    tmp_path: Path,
) -> None:
    config = make_config()
    winner, best = write_two(config, tmp_path)
    dataclasses.replace(best, score=2.0).save(tmp_path / artifacts.BEST)
    results = report.collect(config, tmp_path)
    assert results["test_accuracy"] is None and results["runners_up"] is None
    assert results["ops"] == best.ops != winner.ops


@pytest.mark.parametrize("key", ["score", "macs", "architecture", "test_accuracy"])
def test_damaged_runners_up(key: str, tmp_path: Path) -> None:
    config = make_config()
    write_two(config, tmp_path)
    path = tmp_path / artifacts.RETRAIN_RESULT
    result = files.read_json(path)
    del result["runners_up"][0][key]
    files.write_json(path, result)
    with pytest.raises(InputError, match=f"{re.escape(str(path))}.*no {key}"):
        report.run(config, tmp_path)


def test_without_validation_nothing_is_said_of_it(tmp_path: Path) -> None:
    config = make_config()
    best = write_all(config, tmp_path)
    values = {"architecture": list(best.architecture), "test_accuracy": 0.9125}
    files.write_json(tmp_path / artifacts.RETRAIN_RESULT, values)
    report.run(config, tmp_path)
    page = page_text(tmp_path)
    assert "91.25 %" in page and "Validation accuracy" not in page
    assert "top-5" not in page and 'class="retrained"' not in page
    results = files.read_json(tmp_path / artifacts.RESULTS)
    for name in ("validation_accuracy", "test_top5_accuracy", "runners_up"):
        assert results[name] is None
    assert "test accuracy: 91.25 %" in Results.of(tmp_path, results).lines()


def test_given_architecture_comes_before_the_found_one(tmp_path: Path) -> None:
    config = make_config()
    write_search(config, tmp_path)
    config.retrain.architecture = "0,6,1,2,6,3,4"
    write_retrain(tmp_path, (0, 6, 1, 2, 6, 3, 4))
    report.run(config, tmp_path)
    results = report.collect(config, tmp_path)
    assert results["architecture"] == (0, 6, 1, 2, 6, 3, 4)
    assert results["score"] is None and results["budget"] is None
    assert results["test_accuracy"] == 0.9125
    costs = cost_table(build_space(config))
    assert results["costs"] == costs.of(np.array(results["architecture"]))


@pytest.mark.parametrize(
    "name",
    [
        artifacts.BEST,
        artifacts.INDICATOR,
        artifacts.CANDIDATES,
        artifacts.COMPARISON,
        artifacts.EXACT_FRONT,
        artifacts.PARETO,
        artifacts.SEARCH_HISTORY,
        artifacts.RETRAIN_RESULT,
        artifacts.DISTURBANCE,
        "supernet/metrics.jsonl",
        "retrain/metrics.jsonl",
        "stages/search.json",
    ],
)
def test_damaged_artefact(name: str, tmp_path: Path) -> None:
    config = make_config()
    write_all(config, tmp_path)
    (tmp_path / name).write_bytes(b'{"half": \n')
    with pytest.raises(InputError, match=re.escape(str(tmp_path / name))):
        report.run(config, tmp_path)
    assert not (tmp_path / artifacts.REPORT).exists()


def test_unfinished_stage_has_no_seconds(tmp_path: Path) -> None:
    write_marker(tmp_path, "supernet", 5.0, jax="0.8.0")
    write_marker(tmp_path, "indicator", 1.0, jax="0.9.0")
    write_marker(tmp_path, "search", 0.0, jax="0.10.0", complete=False)
    results = report.collect(make_config(), tmp_path)
    assert results["seconds"] == {"supernet": 5.0, "indicator": 1.0}
    assert results["versions"] == {"jax": "0.8.0, 0.9.0"}


def test_report_path_only_where_there_is_one(tmp_path: Path) -> None:
    config = make_config()
    config.stages = ("search",)
    assert report.collect(config, tmp_path)["report"] is None
    report.run(config, tmp_path)
    assert report.collect(config, tmp_path)["report"] is not None


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1 k"),
        (154_602, "155 k"),
        (4_260_608, "4.26 M"),
        (475_000_000, "475 M"),
        (2_049_000_000, "2.05 G"),
    ],
)
def test_short(count: int, text: str) -> None:
    assert short(count) == text


def test_diagram_shows_every_layer() -> None:
    space = build_space(make_config("mbv2"))
    architecture = tuple(layer.ops[-1] for layer in space.layers)
    (axes,) = diagrams.network_diagram(space, architecture).axes
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("identity, dropped") == 15
    assert texts.count("k7e6") == 6
    assert texts.count("stride 2") == 5  # the stem and four layers
    for size, layer in zip(space.layer_sizes[1:], space.layers, strict=True):
        if not layer.is_normal:
            assert f"{size} × {size} × {layer.out_channels}" in texts


def test_heat_map_shows_every_value() -> None:
    space = build_space(make_config())
    table = np.where(space.allowed, 1.25, np.nan)
    table[0, 0] = 0.5
    axes = figures.indicator_heat_map(table, space, label="").axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("0.500") == 1
    assert texts.count("1.250") == space.allowed.sum() - 1
    assert len(axes.patches) == space.allowed.size
    (lowest,) = [patch for patch in axes.patches if patch.get_alpha() == 0]
    assert lowest.get_url() == f"layer 0, {space.ops[0].name}: 0.5"


def test_long_curve_is_a_running_mean() -> None:
    rows = [{"step": i, "loss": 3.0 + (-1) ** i} for i in range(1, 401)]
    (figure,) = figures.training_curves(rows, "supernet", ["loss"])
    raw, mean = figure.axes[0].lines
    assert len(np.asarray(raw.get_ydata())) == 400
    np.testing.assert_allclose(np.asarray(mean.get_ydata()), 3.0)


def test_diagram_of_a_cell_names_every_edge() -> None:
    space = spaces.build(
        "nas_bench_201", image_size=32, image_channels=3, num_classes=10
    )
    (axes,) = diagrams.network_diagram(space, (3, 0, 4, 1, 2, 3)).axes
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("nor_conv_3x3") == 2
    assert {"none", "avg_pool_3x3", "skip_connect", "nor_conv_1x1"} < set(texts)
    assert "5 cells, 8 × 8 × 64" in axes.get_title()


def test_a_warning_about_the_indicator_is_shown(tmp_path):
    config = make_config()
    space = build_space(config)
    table = np.where(space.allowed, 1.0, np.nan)
    warned = {"warnings": ["the supernet cannot be told from chance"]}
    artifacts.Indicator(table, {}, warned).save(tmp_path / artifacts.INDICATOR)
    measured = {"accuracy": 0.125, "chance": 0.1}
    files.write_json(tmp_path / artifacts.SUPERNET_RESULT, measured)
    report.run(config, tmp_path)
    page = (tmp_path / artifacts.REPORT).read_text()
    assert "Warning:</strong> the supernet cannot be told from chance." in page
    assert "12.50 %" in page and "10.00 %" in page
    assert "layer indicator parallel. Its indicator is gamma." in page


@pytest.mark.parametrize("name", INDICATORS)
def test_captions_are_those_of_the_indicator(name: str, tmp_path: Path) -> None:
    config, row = make_config(), INDICATORS[name]
    config.method.update(indicator=name, score="sum")
    write_search(config, tmp_path)
    report.run(config, tmp_path)
    page = page_text(tmp_path)
    plate = page[page.index('<figure class="indicator">') :]
    caption = plate[plate.index("<figcaption>") : plate.index("</figcaption>")]
    assert html.escape(row.meaning) in caption
    for other in INDICATORS.values():
        assert (html.escape(other.meaning) in page) == (other == row)
    assert f"{row.unit}, summed over layers; higher is better" in page


@pytest.mark.parametrize("name", SCORERS)
def test_every_score_says_what_it_is(name: str) -> None:
    config = make_config()
    config.method.score = name
    texts = captions.score_unit(config), captions.score_meaning(config)
    for text in (*texts, captions.method(config)):
        assert len(text) > 10 and not set(text) & set("{}")
    assert texts[1] in captions.method(config)
    of_supernet = name != "training_free"
    assert ("supernet" in captions.method(config)) == of_supernet


def test_the_report_says_what_counts_as_evaluated(finished: Finished) -> None:
    """Of the exact solver no scores were asked for, and of a set of ops no network."""
    found = captions.evaluated(["evolution", "exact", "reinforce, most probable"])
    assert list(found.values()) == ["evolution, reinforce", "exact"]
    assert {*captions.evaluated(ALGORITHMS).values()} >= {"exact", "pruning"}
    for meaning in found:
        assert meaning in " ".join(finished.page.split())


def test_the_training_loss_is_explained(finished: Finished) -> None:
    config = make_config()
    told = captions.training_loss(config)
    assert told in finished.page and "smoothing 0.1 and dropout 0.2" in told
    config.retrain.update(label_smoothing=0.0, dropout=0.0)
    assert captions.training_loss(config) == ""


def test_provenance_of_every_stage(tmp_path: Path) -> None:
    config = make_config()
    write_all(config, tmp_path)
    for stage, commit in (("supernet", "abc1234"), ("search", "def5678-dirty")):
        path = tmp_path / f"stages/{stage}.json"
        facts = {"command": f"python -m difnas_jax <{commit}>", "commit": commit}
        facts |= {"device": "1 x cpu", "date": "2026-01-02T03:04:05Z"}
        files.write_json(path, {**files.read_json(path), "provenance": facts})
    report.run(config, tmp_path)
    page = page_text(tmp_path)
    section = page[page.index("<h2>Run</h2>") :]
    for commit in ("abc1234", "def5678-dirty"):
        assert f'<td class="left">{commit}</td>' in section
        command = f'<pre class="command">python -m difnas_jax &lt;{commit}&gt;</pre>'
        assert section.count(command) == 1
    assert section.count("1 x cpu") == section.count("2026-01-02T03:04:05Z") == 2
    changed = section.partition("All fields")[0]
    assert "--config.seed=3" in changed and "data.path" not in changed


def test_data_and_other_searches_are_shown(tmp_path: Path) -> None:
    config = make_config()
    results: Any = report.collect(config, tmp_path)
    other = {"name": "<small>", "budget": {"min_macs": 0, "max_macs": 2_000_000}}
    other |= {"architecture": "k3e3 <x>", "macs": 1_999_000, "params": 54_321}
    other |= {"score": 1.5, "test_accuracy": None, "report": "searches/a b/report.html"}
    images = {"train": 1200, "validation": 0, "test": 360}
    classes, notes = ["cat", "<dog>"], ["40 files <left> out"]
    summary = {"stored": "8 x 8 grey", "classes": classes, "notes": notes}
    results |= {"searches": [other], "data": {**summary, "images": images}}
    page = " ".join(report.render(config, tmp_path, results, {}).split())
    assert '<a href="searches/a%20b/report.html">&lt;small&gt;</a>' in page
    for text in ("≤ 2 M MACs", "1,999,000", "54,321", "1.50000", "k3e3 &lt;x&gt;"):
        assert text in page, text
    for text in ("8 x 8 grey", "Train: 1,200 images. ", "cat, &lt;dog&gt;"):
        assert text in page, text
    assert '<p class="warning">40 files &lt;left&gt; out</p>' in page


def test_missing_rows_of_metrics_are_noticed(tmp_path: Path) -> None:
    config = make_config()
    best = write_all(config, tmp_path)
    rows = [{"step": s, "updates": u} for s, u in ((3, 3), (4, 1), (8, 4), (9, 1))]
    rows = [{**row, "loss": 1.0, "accuracy": 0.5} for row in rows]
    path = tmp_path / artifacts.SUPERNET_METRICS
    measured = {"accuracy": 0.5, "chance": 0.1, "step": 9}
    files.write_json(tmp_path / artifacts.SUPERNET_RESULT, measured)
    gaps = {0: ["1 to 3"], 1: ["4 to 4"], 2: ["5 to 8"], 3: ["9 to 9"], None: []}
    for lost, steps in gaps.items():
        files.write_json_lines(path, [r for i, r in enumerate(rows) if i != lost])
        expected = [
            f"supernet/metrics.jsonl has no row of the steps {text}, which its curve "
            "leaves out"
            for text in steps
        ]
        assert report.collect(config, tmp_path)["warnings"] == expected
    result = tmp_path / artifacts.RETRAIN_RESULT
    files.write_json(result, {**files.read_json(result), "steps": 12})
    assert report.collect(config, tmp_path)["ops"] == best.ops
    report.run(config, tmp_path)
    assert "retrain/metrics.jsonl has no row of the steps 12 to 12" in page_text(
        tmp_path
    )


def test_markup_in_figures_is_escaped() -> None:
    """In names of ops, in notes, and in the title for those who cannot see them."""
    markup = """'"><script>&</script>"""
    figure, axes = figures.panel()
    axes.text(0, 0, markup, url=markup)
    template = report.environment().from_string("{{ image | inline(title) }}")
    page = template.render(image=svg.svg(figure, "a"), title=markup)
    assert "<script" not in page
    drawing = page.replace("xlink:href", "href")  # a namespace that HTML knows
    root = ElementTree.fromstring(drawing)
    assert markup in [text.text for text in root.iter("text")]
    assert [title.text for title in root.iter("title")] == [markup]
    assert root.get("aria-label") == markup


def test_markup_in_results_is_escaped(finished: Finished) -> None:
    values = files.read_json(finished.workdir / artifacts.RESULTS)
    results = Results.of(Path("w"), {**values, "report": "a: <b>&.html"})
    text = results._repr_html_()
    assert "<th>report</th><td>a: &lt;b&gt;&amp;.html</td>" in text
    assert text.count("<tr>") == len(results.lines())


def disturbed(step: int, change: float, layers: int = 2) -> dict[str, Any]:
    """A measurement of two paths, the second of which nothing disturbs."""
    names = ["entry", *(f"layer_{layer:02d}" for layer in range(layers)), "rest"]
    parts = {name: number * change for number, name in enumerate(names)}
    row = {"step": step, "architectures": 12, "split": "train", "images": 512}
    for name, sign in (("accuracy", 1), ("loss", -1)):
        row[name] = {
            "right_after": [0.5, 0.25],
            "later": [0.5 - sign * change, 0.25],
            "disturbance": [change, 0.0],
            "mean": change / 2,
            "spread": abs(change / 2),
            "parts": parts,
        }
    return {**row, "seconds": 1.5}


def test_disturbance_in_numbers() -> None:
    rows = [disturbed(2 * i, change) for i, change in enumerate([0.25, 0.5, -0.125])]
    assert disturbance.summary([]) is None
    found: Any = disturbance.summary([*rows, disturbed(6, -0.375)])
    counts = {name: found[name] for name in ("measurements", "architectures", "after")}
    assert counts == {"measurements": 4, "architectures": 8, "after": 12}
    assert (found["images"], found["split"], found["seconds"]) == (512, "train", 6.0)
    early, middle, late = found["thirds"].values()
    assert (early["steps"], middle["steps"], late["steps"]) == ([0, 2], [4, 4], [6, 6])
    for name in ("loss", "accuracy"):
        spread = float(np.std([0.25, 0.0, 0.5, 0.0]))
        two = {"mean": 0.1875, "error": 0.0625, "spread": spread, "helped": 0.0}
        assert early[name] == pytest.approx(two)
        one = {"mean": -0.0625, "error": None, "spread": 0.0625, "helped": 0.5}
        assert middle[name] == one
        parts = found["parts"][name]
        assert [part["mean"] for part in parts.values()] == [0.0, 0.0625, 0.125, 0.1875]
        assert parts["rest"]["error"] == pytest.approx(3 * parts["layer_00"]["error"])


@pytest.mark.parametrize("count", [1, 2, 40])
def test_figure_of_the_disturbance(count: int) -> None:
    rows = [disturbed(10 * i, (-1) ** i / 8, layers=21) for i in range(count)]
    drawn = disturbance.figures(rows)
    loss, of_parts, accuracy, _ = [figure.axes[0] for figure in drawn]
    means = [row["loss"]["mean"] for row in rows]
    for axes in (loss, accuracy):
        _, dots, *running = axes.lines
        assert list(np.asarray(dots.get_ydata())) == means
        assert len(running) == (count > 2)
        for line in running:  # over eight, of which half are disturbed
            assert len(np.asarray(line.get_xdata())) == count - 7
            np.testing.assert_allclose(np.asarray(line.get_ydata()), 0, atol=1e-12)
    labels = [label.get_text() for label in of_parts.get_xticklabels()]
    assert labels == ["entry", *map(str, range(21)), "rest"]


def test_page_tells_the_room_that_projected_updates_leave(tmp_path: Path) -> None:
    config = make_config()
    config.method.update(update="orthogonal_inputs", trainable="all")
    shares = {"stem": 1.0, "layer_00/k3e3": 0.5, "head": 0.375}
    rows = [{"step": 1, "ops": dict.fromkeys(shares, 1.0)}, {"step": 2, "ops": shares}]
    files.write_json_lines(tmp_path / artifacts.ROOM, rows)
    label = room.share_of(config)
    found: Any = room.summary(room.measured(tmp_path), label)
    assert found == {"share_of": label, "mean": 0.625, "least": 0.375, "op": "head"}
    (axes,) = room.figure(rows, label).axes
    *ops, mean, least = axes.lines
    assert len(ops) == len(shares)
    assert [np.asarray(line.get_ydata()).tolist() for line in (mean, least)] == [
        [1.0, 0.625],
        [1.0, 0.375],
    ]
    report.run(config, tmp_path)
    page = page_text(tmp_path)
    section = page[page.index("<h2>Projected updates</h2>") :]
    for text in ("62.50 %", "37.50 %", "<code>head</code>", 'figure class="room"'):
        assert text in section, text
    assert files.read_json(tmp_path / artifacts.RESULTS)["room"] == found
    (tmp_path / artifacts.ROOM).write_text("")  # of a run that was killed early
    assert room.measured(tmp_path) == []
    (tmp_path / artifacts.ROOM).write_text('{"step": 1, "ops": {"stem": "much"}}\n')
    with pytest.raises(InputError, match=r"room\.jsonl: expected the room"):
        room.measured(tmp_path)


def test_page_tells_the_disturbance(tmp_path: Path) -> None:
    config = make_config()
    report.run(config, tmp_path)
    assert "<h2>Disturbance</h2>" not in page_text(tmp_path)
    assert files.read_json(tmp_path / artifacts.RESULTS)["disturbance"] is None
    rows = [disturbed(step, 0.25) for step in range(1, 5)]
    files.write_json_lines(tmp_path / artifacts.DISTURBANCE, rows)
    report.run(config, tmp_path)
    page = page_text(tmp_path)
    section = page[page.index("<h2>Disturbance</h2>") : page.index("<h2>Isometry")]
    told = ("12 further", "8 paths in 4", "512 images of the train split")
    shown = ("1 to 2", ">4<", "+0.1250 ± 0.0000", ">+0.1250<", "+12.50", "0.00 %")
    for text in (*told, "which also train", *shown, 'figure class="disturbance"'):
        assert text in section, text
    results = files.read_json(tmp_path / artifacts.RESULTS)
    assert results["disturbance"]["thirds"]["late"]["loss"]["mean"] == 0.125
