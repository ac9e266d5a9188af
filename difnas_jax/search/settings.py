"""The numbers of a search."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from difnas_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Settings:
    """The fields of the config section `search` that algorithms read.

    Attributes:
      generations: populations that are scored, the random first one included.
      population: candidates per generation.
      parents: the best so far, from which children come.
      mutations, crossovers: children of each operator per generation.
      mutation_probability: chance per layer that a mutation draws its op again.
      screening: evaluate the proposals of the highest score predicted by a linear model
        of the scores so far; else any of them, as SPOS and BN-NAS do.
      objectives: columns that NSGA-II trades against each other.
    """

    generations: int
    population: int
    parents: int
    mutations: int
    crossovers: int
    mutation_probability: float
    screening: bool
    objectives: tuple[str, ...]

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> Settings:
        """The settings among the values of a config section."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: section[name] for name in names})

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
          InputError: a number outside its range.
        """
        children = max(1, self.mutations + self.crossovers)
        least = {"generations": 1, "population": children, "parents": 1}
        numbers = "mutations", "crossovers", "mutation_probability"
        for field, low in (least | dict.fromkeys(numbers, 0)).items():
            if (value := getattr(self, field)) < low:
                why = " (mutations + crossovers)" if field == "population" else ""
                raise InputError(
                    f"search.{field}: expected {low}{why} or more, got {value}"
                )
        if self.mutation_probability > 1:
            raise InputError(
                "search.mutation_probability: expected at most 1, got "
                f"{self.mutation_probability}"
            )
