"""Carry ranges of the inputs into ranges of the results, and say which input matters."""
