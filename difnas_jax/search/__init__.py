"""Search over integer genomes: scores, budget, evolution, Pareto front. Numpy only."""
