"""Draw results: every axis has its unit, every figure its caption."""
