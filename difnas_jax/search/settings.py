"""The numbers of a search."""

from __future__ import annotations

import dataclasses

from difnas_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Settings:
    """The numbers of SPOS and BN-NAS.

    Attributes:
      generations: populations that are scored, the random first one included.
      population: candidates per generation.
      parents: the best so far, from which children come.
      mutations, crossovers: children of each operator per generation.
      mutation_probability: chance per layer that a mutation draws its op again.
      screening: evaluate the proposals that a linear model of everything evaluated
        so far expects most of; else any of them, as SPOS and BN-NAS do.
    """

    generations: int = 20
    population: int = 50
    parents: int = 10
    mutations: int = 25
    crossovers: int = 25
    mutation_probability: float = 0.1
    screening: bool = True

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
          InputError: a number that cannot be.
        """
        children = max(1, self.mutations + self.crossovers)
        least = {"generations": 1, "population": children, "parents": 1}
        for field, value in dataclasses.asdict(self).items():
            low = least.get(field, 0)
            if value < low:
                why = " (mutations + crossovers)" if field == "population" else ""
                raise InputError(
                    f"search.{field}: expected {low}{why} or more, got {value}"
                )
        if self.mutation_probability > 1:
            raise InputError(
                "search.mutation_probability: expected at most 1, got "
                f"{self.mutation_probability}"
            )
