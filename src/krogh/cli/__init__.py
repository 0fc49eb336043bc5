"""Parse, call and show: one small file per command."""
