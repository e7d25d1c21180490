"""How the pages are built: `make docs`."""

import re

from numpydoc import xref
from sphinx.application import Sphinx

import fastdrop

project = "fastdrop"
project_copyright = "the authors of fastdrop"
version = release = fastdrop.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["gallery", "_templates"]
templates_path = ["_templates"]
nitpicky = True

# ---- pages ----

source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
copybutton_exclude = ".linenos, .gp, .go"  # prompts, and what was printed

# ---- the reference ----

# Types are in the descriptions of parameters, where there is room to say what they mean.
autodoc_typehints = "none"
autodoc_default_options = {"member-order": "groupwise"}
autodoc_mock_imports = ["torch"]  # hundreds of megabytes, for the names of base classes
autosummary_generate = True
python_maximum_signature_line_length = 88
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
# Those of Python and of glossaries, which would be read over the network.
xref.DEFAULT_LINKS.clear()
numpydoc_xref_aliases = {
    "Generator": "numpy.random.Generator",
    "SeedSequence": "numpy.random.SeedSequence",
    "ndarray": "numpy.ndarray",
    **{name: f"fastdrop.{name}" for name in fastdrop.__all__ if name[0].isupper()},
}
# The few names that are linked, so that a build needs no network.
intersphinx_mapping = {"numpy": ("https://numpy.org/doc/stable/", "numpy.inv")}

# ---- the gallery ----

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": "plot_",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
}

# ---- how it looks ----

html_theme = "pydata_sphinx_theme"
html_title = "fastdrop"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "header_links_before_dropdown": 7,
    "navbar_end": ["theme-switcher"],
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def to_gallery(_app: Sphinx, _name: str, source: list[str]) -> None:
    """Lead links to the gallery's scripts, which work in a repository, to the pages of these."""
    source[0] = re.sub(
        r"\]\(((?:\.\./)*)gallery/(?:(\w+)\.py)?\)",
        lambda link: f"]({link[1]}auto_gallery/{link[2] or 'index'}.rst)",
        source[0],
    )


def stars(
    _app: Sphinx, _what: str, _name: str, _of: object, _opts: object, lines: list[str]
) -> None:
    """Keep a star, as in (rows, *output axes), from being read as the beginning of emphasis."""
    for number, line in enumerate(lines):
        if ">>>" not in line and "``" not in line:
            lines[number] = re.sub(r"(?<![\w*\\])\*(?=\w)(?![\w. ]*\*)", r"\\*", line)


def setup(app: Sphinx) -> None:
    app.connect("source-read", to_gallery)
    app.connect("autodoc-process-docstring", stars, priority=400)  # before numpydoc
