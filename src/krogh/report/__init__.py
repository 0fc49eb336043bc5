"""Write self-contained HTML pages: no file beside them, no request to a network, no script from data."""
