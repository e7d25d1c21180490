"""Say in plain words what a file is that is not a model, or not one that can be read."""

from __future__ import annotations

import os
import re
from os import PathLike

_PICKLE = "pickles are never read, for they can run any code; export the weights from a safe format"
CHECKPOINT = (
    "a PyTorch checkpoint; where it holds weights by name, say which layers they belong to, as in "
    'architecture=[("lstm", "LSTM"), ("head", "Linear")]'
)
SCRIPT = (
    "a TorchScript archive, which holds a program; load it with torch.jit.load, and save the "
    'tensors alone: torch.save(module.state_dict(), "model.pt")'
)
_EXPORTED = (
    "a program of torch.export; fastdrop.torch.from_torch takes the module that it was made of"
)
_ARCHIVE = "{} archive; unpack it and load the model file that is in it"
_FOLDER = (
    "a TensorFlow SavedModel, which holds a program; load it with the Keras that wrote it, "
    'and call model.save("model.keras")'
)
_LFS = (
    "a Git LFS pointer, which stands for the model and does not hold it; "
    "fetch the file itself with `git lfs pull`"
)
_WEB_PAGE = "a web page; download the file itself, not the page that shows it"

# How a file of torch < 1.6 begins: a pickle of a number, of 10 bytes, that it is known by.
LEGACY = bytes.fromhex("8a0a6cfc9c46f9206aa85019")

# Where the bytes stand, what they are, what that means.
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"version https://git-lfs.github.com/spec/", _LFS),
    (0, b"\x1f\x8b", _ARCHIVE.format("a gzip")),
    (0, b"BZh", _ARCHIVE.format("a bzip2")),
    (0, b"\xfd7zXZ\0", _ARCHIVE.format("an xz")),
    (0, b"\x28\xb5\x2f\xfd", _ARCHIVE.format("a zstd")),
    (0, b"7z\xbc\xaf\x27\x1c", _ARCHIVE.format("a 7z")),
    (0, b"Rar!\x1a\x07", _ARCHIVE.format("a rar")),
    (257, b"ustar", _ARCHIVE.format("a tar")),
    (0, b"\x80\x02", _PICKLE),
    (0, b"\x80\x03", _PICKLE),
    (0, b"\x80\x04", _PICKLE),
    (0, b"\x80\x05", _PICKLE),
    (4, b"TFL3", "a TensorFlow Lite model, which is compiled; load the model it was made from"),
    (0, b"\x93NUMPY", "a NumPy array; a model has layers too"),
    (0, b"PK\x05\x06", "an empty zip archive"),
)
_HTML = re.compile(rb"\s*+<(?:!doctype\s|html|head|\?xml)", re.IGNORECASE)
_JSON = re.compile(rb'\s*+\{\s*+"')

# Members by which a zip archive is known that is not a .keras file.
_MEMBERS = (
    ("/archive_format", _EXPORTED),
    ("/constants.pkl", SCRIPT),
    ("data.pkl", CHECKPOINT),
    ("saved_model.pb", _FOLDER),
    (".npy", "an .npz file of arrays; a model has layers too"),
    (".keras", _ARCHIVE.format("a zip")),
    (".h5", _ARCHIVE.format("a zip")),
)
# Folders of a .keras file, whose members that file is known by.
_ASSETS = (
    "assets/",
    "a Keras model with layers that look words or numbers up in lists of their own: do before the "
    "model what they do with texts, give IntegerLookup its vocabulary when it is made, and save "
    "the model again",
)
_OWN = "model.weights.h5"


def is_legacy_checkpoint(beginning: bytes) -> bool:
    """Return whether a file is what ``torch.save`` of torch < 1.6 wrote."""
    return beginning[2:14] == LEGACY and beginning[:1] == b"\x80"


def recognise(data: bytes) -> str | None:
    """Return what a file is, by its first bytes, or None where they say nothing.

    Zip archives, HDF5 and safetensors files are not among what is known here: they
    may be models.
    """
    if not data:
        return "an empty file"
    for at, magic, meaning in _MAGIC:
        if data.startswith(magic, at):
            return meaning
    if _HTML.match(data[:512]):
        return _WEB_PAGE
    if _JSON.match(data[:512]):
        return "JSON without weights; give it as architecture= beside a file of weights"
    return None


def recognise_members(names: list[str]) -> str | None:
    """Return what a zip archive is by the names in it, or None where they say nothing."""
    for end, meaning in _MEMBERS:
        if any(name.endswith(end) and name != _OWN for name in names):
            return meaning
    return _ASSETS[1] if any(name.startswith(_ASSETS[0]) for name in names) else None


def recognise_folder(path: str | PathLike[str]) -> str | None:
    """Return what a folder is, or None where it is nothing known; only names are looked at."""
    if os.path.isfile(os.path.join(path, "saved_model.pb")):
        return _FOLDER
    return None
