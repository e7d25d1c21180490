"""How the pages are built: `make docs`."""

import inspect
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
html_css_files = ["site.css"]
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


def public() -> set[str]:
    """Return the names that the reference has, with their modules: what docstrings may name."""
    found = set()
    for module in (fastdrop, fastdrop.scores, fastdrop.calibration, fastdrop.layers):
        for name in module.__all__:
            item = getattr(module, name)
            found.add(f"{module.__name__}.{name}")
            if inspect.isclass(item) and module is not fastdrop.layers:
                members = {n: m for n, m in inspect.getmembers(item) if n[0] != "_"}
                methods = [n for n, m in members.items() if inspect.isroutine(m)]
                found |= {f"{module.__name__}.{name}.{n}" for n in methods if members[n].__doc__}
    return found - {f"fastdrop.{n}" for n in ("scores", "calibration", "layers", "typing")}


PUBLIC = public()


def docstring(
    _app: Sphinx, _what: str, name: str, item: object, _options: object, lines: list[str]
) -> None:
    """Write a docstring in the words of Sphinx, before numpydoc sees it.

    `name` in it becomes a link where it is public and no parameter of what is described. A star,
    as in (rows, *output axes), must not be read as the beginning of emphasis. Where ``docs/x.md``
    is named, there is its page.
    """
    own = set(inspect.signature(item).parameters) if callable(item) else set()

    def link(match: re.Match[str]) -> str:
        word = match[1]
        for prefix in ("", "fastdrop.", ".".join(name.split(".")[:2]) + "."):
            if word not in own and prefix + word in PUBLIC:
                return f":py:obj:`{word} <{prefix}{word}>`"
        return match[0]

    for number, line in enumerate(lines):
        if ">>>" in line:
            continue
        line = re.sub(r"``(docs/(\w+)\.md)``", r":doc:`\1 </\2>`", line)
        line = re.sub(r"(?<![`:\w])`([\w.]+)`(?!`)", link, line)
        if "``" not in line:
            line = re.sub(r"(?<![\w*\\])\*(?=\w)(?![\w. ]*\*)", r"\\*", line)
        lines[number] = line


def setup(app: Sphinx) -> None:
    app.connect("source-read", to_gallery)
    app.connect("autodoc-process-docstring", docstring, priority=400)  # before numpydoc
