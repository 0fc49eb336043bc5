"""Show a finished run as one page that opens from disk: question, answer, inputs with sources, pictures, limits, citations."""
