"""Scores of architectures: indicators, accuracies, and how a search gets them."""
