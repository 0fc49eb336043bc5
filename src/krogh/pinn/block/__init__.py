"""Solve a block by networks: cosine modes along the barrier, a pair of networks in depth and time for each."""
