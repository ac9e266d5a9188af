"""EigenNAS: bounds on the minimum eigenvalue, and how well it ranks networks."""
