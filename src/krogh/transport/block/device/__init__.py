"""Solve blocks with torch, on a GPU or, to check the same code, on the processor."""
