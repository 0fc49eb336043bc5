"""Read and write files; no other part of the package touches them."""
