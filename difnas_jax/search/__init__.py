"""Search over architectures: algorithms, exact optimum, budget. Numpy only."""
