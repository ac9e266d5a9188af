"""How well scores rank networks of known accuracy, and the tables of such networks.

`tables` reads published benchmarks. `correlation` has rank correlations and their
bootstrap intervals, `selection` what choosing by a score costs and the choice among
scores by cross-validation. `combiners` make one score of several, `path_counts` says
what can be counted of an architecture, and `fitted` ranks by these from some
accuracies. `evaluation` has the numbers of one score, `comparison` those of many.
"""
