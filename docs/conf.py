"""How the site is built: `make docs`."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "extensions"), str(HERE.parent)]

project = "dis_lightning"
author = copyright = "The dis_lightning maintainers"
release = version = version_of("dis-lightning")

extensions = [
    "myst_nb",  # Markdown, and the notebooks
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "docstrings",
    "listings",
]
html_theme = "furo"
html_title = "dis_lightning"
html_static_path = ["static"]
html_css_files = ["site.css"]
exclude_patterns = ["_build", "extensions", "static"]

# The notebooks are run by the tests, and shown here as they were.
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

# Docstrings write code in single backticks.
default_role = "code"
highlight_language = "none"  # equations are no Python
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "mixed"
