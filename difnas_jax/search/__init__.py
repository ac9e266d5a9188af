"""Search over integer genomes: algorithms, exact optimum, budget. Numpy only."""
