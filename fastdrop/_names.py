"""What `dir` shows of a module."""

import sys
from collections.abc import Callable


def public(module: str) -> Callable[[], list[str]]:
    """Make a module's ``__dir__``: its public names, and those that Python keeps there."""

    def names() -> list[str]:
        found = vars(sys.modules[module])
        return sorted({*found["__all__"], *(name for name in found if name.startswith("__"))})

    return names
