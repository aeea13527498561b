"""The adapters of the machine, and the names of devices."""

import os
import re
from dataclasses import dataclass

from cmm import _native
from cmm.errors import DeviceError, InputError, InputTypeError
from cmm.nvidia import bus_id_of, nvidia_gpus


@dataclass(frozen=True)
class Adapter:
    """A GPU, or a software implementation of one, through a graphics API."""

    index: int
    name: str
    backend: str
    kind: str
    driver: str
    pci_bus_id: str | None


def adapters() -> list[Adapter]:
    """Returns the adapters of this machine, best first. `device=` accepts their index."""
    return [Adapter(*adapter) for adapter in _native.adapters()]


def native_device(device: object) -> str:
    """Returns the name by which the library knows a device: `auto`, `cpu`, or an adapter's index,
    backend, PCI bus id or part of a name.

    `None` means `auto`. `gpu` is the best adapter, even a software one. `cuda` and `cuda:N` are the
    card that CUDA gives this number, and `mps` is Metal's. Other objects count by their text, for
    example a `torch.device`.
    """
    if device is None:
        return "auto"
    if isinstance(device, bool) or isinstance(device, (list, tuple, dict)):
        raise InputTypeError(f"device: expected None, a name or an index, found {device!r}")
    if isinstance(device, int):
        if device < 0:
            raise InputError(f"device: expected an index of cmm.adapters(), found {device}")
        return str(device)
    name = str(device).strip()
    if not name:
        raise InputError("device: expected None, a name or an index, found an empty name")
    if name.lower() == "gpu":
        return "default"
    if name.lower() == "mps":
        return "metal"
    cuda = re.fullmatch(r"cuda(?::(\d+))?", name.lower())
    if cuda:
        return cuda_bus_id(int(cuda.group(1) or 0))
    return name


def cuda_bus_id(ordinal: int) -> str:
    """Returns the PCI bus id of the card that CUDA programs of this process call `cuda:ordinal`."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpu_id = str(ordinal)
    if visible is not None:
        ids = [part.strip() for part in visible.split(",") if part.strip()]
        if ordinal >= len(ids):
            raise DeviceError(f"device cuda:{ordinal}: CUDA_VISIBLE_DEVICES={visible!r} shows {len(ids)} cards")
        gpu_id = ids[ordinal]
    return bus_id_of(gpu_id, nvidia_gpus())
