"""Fast primitives of networks; who reads the method need not open them."""
