"""Solve a network of capillaries in a block of tissue."""
