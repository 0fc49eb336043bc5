"""Build the documentation: ``make docs`` (warnings are errors, nothing is fetched from a network)."""

from __future__ import annotations

import krogh

project = "krogh"
author = "The krogh developers"
copyright = "2026, The krogh developers"
release = version = krogh.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon", "sphinx_copybutton"]
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"  # the tutorials; other pages hold no cells
nb_execution_timeout = 60
nb_execution_raise_on_error = True
exclude_patterns = ["_build", "Thumbs.db", ".DS_Store"]

autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

html_theme = "furo"
html_title = f"krogh {release}"
html_show_sourcelink = False
