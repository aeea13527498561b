"""Finds the folder of a model: a given one, the one that comes with this package, or one in the
hub's cache.
"""

import os
import re
from pathlib import Path

from cmm.errors import ConfigError, InputTypeError

SHIPPED = "fastminilm"
"""The model that comes with this package. It is used if neither the caller nor `CMM_MODEL` names one."""

_HUB_FILES = ["*.json", "model*.safetensors"]


def shipped_folder() -> Path:
    """Returns the folder of the shipped model."""
    folder = Path(__file__).parent / "models" / SHIPPED
    if not (folder / "model.safetensors").is_file():
        raise ConfigError(f"{folder}: the shipped model is not there; name another one, or set CMM_MODEL")
    return folder


def model_folder(model: object) -> Path:
    """Returns the folder that `model` names. `None` means the model of `CMM_MODEL`, or the shipped
    one, so that no network is needed.
    """
    if model is None:
        model = os.environ.get("CMM_MODEL") or SHIPPED
    if not isinstance(model, (str, os.PathLike)):
        raise InputTypeError(f"model: expected a folder, a hub id or None, found {type(model).__name__}")
    folder = Path(model)
    if folder.is_dir():
        return folder.absolute()
    name = str(model)
    if name == SHIPPED:
        return shipped_folder()
    if re.fullmatch(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*", name, re.ASCII):
        return _hub_folder(name)
    raise ConfigError(f"model {name!r}: expected a folder, a hub id of the form owner/name, or {SHIPPED!r}; found none")


def lasting_name(folder: Path) -> str:
    """Returns a name of this folder that works in another process, or on another machine that has
    the package.
    """
    shipped = Path(__file__).parent / "models" / SHIPPED
    return SHIPPED if folder == shipped else str(folder)


def _hub_folder(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as missing:
        raise ConfigError(f"model {name!r}: no such folder; to fetch it from the hub, pip install huggingface-hub") from missing
    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except Exception as failed:
        reason = " ".join(str(failed).split())
        raise ConfigError(f"model {name!r}: {reason}") from failed
