"""What training-free scores know of trained networks, alone and together."""
