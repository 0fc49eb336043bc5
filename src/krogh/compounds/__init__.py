"""Describe WHAT crosses the barrier."""
