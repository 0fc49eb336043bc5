"""Hold the model against published measurements: fold errors, coverage, and what was fitted to what."""
