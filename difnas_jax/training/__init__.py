"""Training and evaluation: one loop, its steps, and what they are made of."""
