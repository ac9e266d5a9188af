"""How well scores rank networks of known accuracy, and the tables of such networks.

`correlation` has rank correlations, `bootstrap` their intervals, `selection` what
choosing by a score costs, `cross_validation` the choice among scores, and `tables`
reads published benchmarks.
"""
