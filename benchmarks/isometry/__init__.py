"""Singular values of blocks, signal and gradient through depth, fair gradients."""
