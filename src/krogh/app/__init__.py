"""Show the commands as a page in the browser, on this machine only: a thin shell that starts runs and watches their folders."""
