"""How well scores rank networks of known accuracy, and the tables of such networks.

`correlation` has rank correlations and their bootstrap intervals, `selection` what
choosing by a score costs and the choice among scores by cross-validation, and `tables`
reads published benchmarks.
"""
