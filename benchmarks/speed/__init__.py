"""Time, memory and traffic of training and search, also against PyTorch."""
