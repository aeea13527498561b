"""Options for loading models and layers, shared by both classes on texts, and the parameters of
sentence-transformers that are refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from cmm import _native
from cmm.devices import native_device
from cmm.errors import InputError, InputTypeError
from cmm.folder import model_folder

PRECISIONS = {"f32": "f32", "float32": "f32", "f16": "f16", "float16": "f16"}
"""The spellings of a precision."""


class Options(TypedDict):
    """The options of a model's constructor."""

    precision: str
    activations: str
    int8: bool
    batch_tokens: int
    threads: int | None


def load(model: object, device: object, options: Options) -> tuple[Path, _native.Model]:
    """Loads a model on a device. Returns its folder and the model."""
    folder = model_folder(model)
    loaded = _native.Model(
        str(folder),
        device=native_device(device),
        weights=precision_of("precision", options["precision"]),
        activations=precision_of("activations", options["activations"]),
        int8=bool(options["int8"]),
        batch_tokens=count("batch_tokens", options["batch_tokens"]),
        threads=None if options["threads"] is None else count("threads", options["threads"]),
    )
    return folder, loaded


def precision_of(what: str, name: object) -> str:
    """Returns `f32` or `f16`."""
    found = PRECISIONS.get(name) if isinstance(name, str) else None
    if found is None:
        raise InputError(f"{what}: expected f32 or f16, found {name!r}")
    return found


def count(what: str, number: object) -> int:
    """Returns a whole number of at least 1."""
    if isinstance(number, bool) or not hasattr(number, "__index__"):
        raise InputTypeError(f"{what}: expected a whole number, found {number!r}")
    whole = number.__index__()
    if whole < 1:
        raise InputError(f"{what}: expected at least 1, found {whole}")
    return int(whole)


def refuse(given: Mapping[str, Any]) -> None:
    """Refuses parameters of sentence-transformers that are not implemented, unless their value asks
    for nothing.
    """
    for name, value in given.items():
        if value is None or value is False or (isinstance(value, (dict, list, tuple)) and not value):
            continue
        raise InputError(f"{name}: this parameter of sentence-transformers is not implemented here, found {value!r}; leave it out")

