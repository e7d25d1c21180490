"""The one extension module; everything else about the package is in pyproject.toml."""

import os
import sys
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# No contraction: a multiply and an add are fused only where a kernel says so by name.
# No trapping, no errno: nobody reads them, and without them selections need no branches and square
# roots no C library.
UNIX_FLAGS = [
    "-std=c11",
    "-ffp-contract=off",
    "-fno-trapping-math",
    "-fno-math-errno",
    "-fvisibility=hidden",
]
MSVC_FLAGS = ["/std:c11", "/O2", "/fp:precise"]


# Python's own flags ask for debugging information: nine tenths of the file, which nobody reads. Who
# asks for it by CFLAGS, or for hardly any optimization, as the sanitizers' build does, gets it.
asked = set(os.environ.get("CFLAGS", "").split())
if "-g" not in asked:
    UNIX_FLAGS.append("-g0")
if not asked & {"-O0", "-O1"}:
    UNIX_FLAGS.append("-O3")


class BuildExt(build_ext):
    def build_extensions(self) -> None:
        msvc = self.compiler.compiler_type == "msvc"
        for extension in self.extensions:
            extension.extra_compile_args = MSVC_FLAGS if msvc else UNIX_FLAGS
        try:
            super().build_extensions()
        except Exception as error:
            sys.exit(
                f"fastdrop: its C extension could not be built ({error}). Install a C compiler, or "
                "set FASTDROP_BUILD=numpy to install the slower NumPy backend alone."
            )


def extensions() -> list[Extension]:
    build = os.environ.get("FASTDROP_BUILD", "native")
    if build not in ("native", "numpy"):
        sys.exit(f"fastdrop: FASTDROP_BUILD: expected 'native' or 'numpy', got {build!r}")
    if build == "numpy":
        return []
    import numpy as np
    from Cython.Build import cythonize

    native = Extension(
        "fastdrop._native",
        ["fastdrop/_native.pyx", *sorted(glob("src/*.c"))],
        include_dirs=["src", np.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        depends=[*glob("src/*.h"), "fastdrop/_csrc.pxd"],
    )
    modules: list[Extension] = cythonize([native], build_dir="build/cython")  # type: ignore[no-untyped-call]
    return modules


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExt})
