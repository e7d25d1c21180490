"""The one extension module; everything else about the package is in pyproject.toml."""

import gzip
import os
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from glob import glob
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

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
        one_by_one = self.compiler.compile

        def side_by_side(sources: list[str], **options: Any) -> list[str]:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                made = pool.map(lambda source: one_by_one([source], **options), sources)
                return [path for paths in made for path in paths]

        if not msvc:
            self.compiler.compile = side_by_side
        try:
            super().build_extensions()
        except Exception as error:
            sys.exit(
                f"fastdrop: its C extension could not be built ({error}). Install a C compiler, or "
                "set FASTDROP_BUILD=numpy to install the slower NumPy backend alone."
            )


# Two builds give the same bytes where SOURCE_DATE_EPOCH is set, whatever their folder, time and
# umask. What is compiled depends on none of these; what packs it looks at modes, times and owners.
def mode(path: Path) -> int:
    """Return what a file or folder may be used for, by everybody."""
    return 0o755 if path.stat().st_mode & 0o100 else 0o644


class Wheel(bdist_wheel):
    def write_wheelfile(self, *args: str, **options: str) -> None:
        super().write_wheelfile(*args, **options)  # the last file before all are packed
        for path in Path(str(self.bdist_dir)).rglob("*"):
            path.chmod(mode(path))


class Sources(sdist):
    def make_archive(self, base_name: Any, format: str, *args: Any, **options: Any) -> str:
        """Write the .tar.gz, with no owners and in an order of its own."""
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        seconds = None if epoch is None else int(epoch)
        folder = Path(options["base_dir"])
        name = f"{base_name}.tar.gz"
        with (
            open(name, "wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=seconds) as zipped,
            tarfile.open(fileobj=zipped, mode="w") as tar,
        ):
            for path in [folder, *sorted(folder.rglob("*"))]:
                info = tar.gettarinfo(path)
                info.mode, info.uid, info.gid, info.uname, info.gname = mode(path), 0, 0, "", ""
                info.mtime = int(info.mtime) if seconds is None else seconds
                with path.open("rb") if info.isfile() else nullcontext() as data:
                    tar.addfile(info, data)
        return name


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


setup(
    ext_modules=extensions(),
    cmdclass={"build_ext": BuildExt, "bdist_wheel": Wheel, "sdist": Sources},
)
