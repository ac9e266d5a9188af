"""Random search with the evaluations of the others: the line that they must beat."""

from difnas_jax.search.explorer import Explorer


class RandomSearch(Explorer):
    """New random architectures within the budget, and nothing else."""
