"""The networks that a search keeps, of all its candidates."""

from ml_collections import ConfigDict

from difnas_jax.config.build import limits
from difnas_jax.runtime.artifacts import FoundNetwork
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.versions import versions
from difnas_jax.search.candidates import Candidates, far_apart, non_dominated
from difnas_jax.search.problem import Problem


def kept_networks(
    config: ConfigDict, problem: Problem, candidates: Candidates
) -> list[FoundNetwork]:
    """The best candidates that differ from each other as the config asks for.

    Layers are compared in the canonical form, in which a dropped layer stands at the
    end of its run: dropping one layer of a run may change several.
    """
    count, distance = config.search.keep, config.search.distance
    networks = problem.space.canonical(candidates.architectures)
    kept = candidates[far_apart(networks, count, distance)]
    if len(kept) < count:
        say(
            f"search: keeps {len(kept)} of search.keep = {count} networks, as no other "
            f"of {len(candidates)} candidates differs from these in search.distance = "
            f"{distance} layers"
        )
    return [found_network(config, problem, kept, rank) for rank in range(len(kept))]


def front_of(problem: Problem, candidates: Candidates) -> Candidates:
    """The candidates that no other beats in score without costing more."""
    costs = candidates.columns[problem.traded]
    return candidates[non_dominated(candidates.scores, costs)]


def found_network(
    config: ConfigDict, problem: Problem, candidates: Candidates, rank: int
) -> FoundNetwork:
    """One of the candidates with all that is known about it."""
    space = problem.space
    architecture = space.validate(candidates.architectures[rank])
    return FoundNetwork(
        space=space.name,
        architecture=architecture,
        ops=space.op_names(architecture),
        text=space.text(architecture),
        score=float(candidates.scores[rank]),
        costs=problem.costs.of_one(architecture),
        budget=limits(config),
        seed=config.seed,
        provenance={
            "score": config.method.score,
            "algorithm": config.search.algorithm,
            "method": config.method.to_dict(),
            "versions": versions(),
        },
    )
