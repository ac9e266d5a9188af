"""Scores of networks that are not trained."""
