"""Speed and memory: ``make bench``."""
