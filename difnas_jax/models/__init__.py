"""Networks: blocks, the supernet, and their initial values."""
