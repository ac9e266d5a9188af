"""Isometry of blocks and supernets: theory and measurement side by side.

`mean_field`, `composition` and `laws` predict (numpy); `singular_values` and `passes`
measure; `depth` has both for a whole supernet.
"""
