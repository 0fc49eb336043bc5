"""Collect a run into one page."""
