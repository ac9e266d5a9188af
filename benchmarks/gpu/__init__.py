"""Training on one GPU: correctness, time, memory and compilation, also of PyTorch."""
