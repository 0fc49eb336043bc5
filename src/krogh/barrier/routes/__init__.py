"""Routes across the barrier: each is one flux law in its own file."""
