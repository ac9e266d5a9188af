"""What the page says of the method of a run, for readers who do not know it."""

from collections.abc import Iterable

from ml_collections import ConfigDict

from difnas_jax.scoring.indicators import INDICATORS
from difnas_jax.scoring.scorers import scorer_row
from difnas_jax.search.algorithms import ALGORITHMS

OF_A_SUPERNET = {"indicator", "supernet"}  # needs of a score
# Stage -> what the page shows of it.
OF_STAGES = {
    "supernet": "the training curve of the supernet",
    "indicator": "the indicator",
    "search": "the search and its candidates",
    "retrain": "the accuracy and the curves of the retrained network",
}


def method(config: ConfigDict) -> str:
    """What was done, in sentences."""
    words, row = config.method, scorer_row(config)
    sentences = []
    if row.needs & OF_A_SUPERNET:
        activation = f" and {words.activation}" if words.activation else ""
        sentences.append(
            f"A supernet with {words.kernels} kernels (depthwise: {words.depthwise})"
            f"{activation}, in which {words.trainable} trained on {words.sampling} "
            f"paths, with the layer indicator {words.layer_indicator}."
        )
    if row.additive:
        sentences.append(f"Its indicator is {words.indicator}.")
    sentences.append(
        f"Networks are found by {config.search.algorithm} and ranked by the score "
        f"{words.score}: {score_meaning(config)}."
    )
    return " ".join(sentences)


def score_unit(config: ConfigDict) -> str:
    """The unit of the score, of which more is better."""
    return scorer_row(config).unit.format(**_fields(config))


def score_meaning(config: ConfigDict) -> str:
    """What the score is."""
    return scorer_row(config).meaning.format(**_fields(config))


def _fields(config: ConfigDict) -> dict[str, str]:
    proxies = config.method.proxies
    return {
        "unit": INDICATORS[config.method.indicator].unit,
        "combiner": config.method.combiner,
        "count": str(len(proxies)),
        "columns": ", ".join(proxies),
    }


def evaluated(algorithms: Iterable[str]) -> dict[str, str]:
    """What counts as evaluated -> the algorithms for which it does.

    Args:
      algorithms: keys of `ALGORITHMS`, or labels of `compare_searches`, which go on
        after a comma.
    """
    names: dict[str, dict[str, None]] = {}
    for label in algorithms:
        name = label.partition(",")[0]
        names.setdefault(ALGORITHMS[name].evaluates, {})[name] = None
    return {meaning: ", ".join(found) for meaning, found in names.items()}


def training_loss(config: ConfigDict) -> str:
    """Why the loss of training is not that of validation; empty where it is."""
    retrain = config.retrain
    added = {"label smoothing": retrain.label_smoothing, "dropout": retrain.dropout}
    terms = [f"{name} {value:g}" for name, value in added.items() if value]
    if not terms:
        return ""
    return (
        f"The training loss of the retrained network has {' and '.join(terms)}, the "
        "validation loss has not, and may therefore be far below it."
    )
