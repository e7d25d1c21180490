"""What `dir` shows of a module."""

import sys


def public(module: str) -> list[str]:
    """Return a module's public names, and those that Python keeps there."""
    found = vars(sys.modules[module])
    return sorted({*found["__all__"], *(name for name in found if name.startswith("__"))})
