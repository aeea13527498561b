"""Finds NVIDIA cards by the names that CUDA and schedulers have for them.

`CUDA_VISIBLE_DEVICES` does not affect Vulkan, so a card's number says nothing about adapters. Its
PCI bus id identifies it.
"""

import csv
import io
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from cmm.errors import DeviceError

QUERY = ["--query-gpu=index,pci.bus_id,uuid", "--format=csv,noheader"]
"""The arguments of `nvidia-smi`."""


@dataclass(frozen=True)
class NvidiaGpu:
    """A card as `nvidia-smi` lists it. It numbers cards by their place on the bus."""

    index: int
    bus_id: str
    uuid: str


def nvidia_gpus() -> list[NvidiaGpu]:
    """Returns the cards of this machine."""
    program = shutil.which("nvidia-smi")
    if program is None:
        raise DeviceError("nvidia-smi: not found, so CUDA's numbers of cards mean nothing here; name an adapter of cmm.adapters() instead")
    try:
        answer = subprocess.run([program, *QUERY], capture_output=True, text=True, timeout=60, check=True)
    except subprocess.CalledProcessError as failed:
        raise DeviceError(f"nvidia-smi: {(failed.stderr or failed.stdout).strip() or failed}") from failed
    except (OSError, subprocess.TimeoutExpired) as failed:
        raise DeviceError(f"nvidia-smi: {failed}") from failed
    return parse_nvidia_smi(answer.stdout)


def parse_nvidia_smi(text: str) -> list[NvidiaGpu]:
    """Parses the answer of `nvidia-smi`, which has a line for each card."""
    gpus = []
    for row in csv.reader(io.StringIO(text), skipinitialspace=True):
        if not row:
            continue
        if len(row) != 3 or not row[0].strip().isdigit():
            raise DeviceError(f"nvidia-smi: expected a line of index, pci.bus_id, uuid, found {', '.join(row)!r}")
        gpus.append(NvidiaGpu(int(row[0]), row[1].strip(), row[2].strip()))
    return gpus


def bus_id_of(gpu_id: str, gpus: Sequence[NvidiaGpu]) -> str:
    """Returns the PCI bus id of the card that `CUDA_VISIBLE_DEVICES` or Ray names: by its index,
    its UUID, or the beginning of its UUID.
    """
    gpu_id = gpu_id.strip()
    if gpu_id.upper().startswith("MIG-"):
        raise DeviceError(f"GPU {gpu_id}: a slice of a card (MIG) is not an adapter of Vulkan; use whole cards")
    if gpu_id.isdigit():
        found = [gpu for gpu in gpus if gpu.index == int(gpu_id)]
    else:
        found = [gpu for gpu in gpus if gpu_id and gpu.uuid.lower().startswith(gpu_id.lower())]
    if len(found) != 1:
        there = ", ".join(f"{gpu.index}: {gpu.uuid}" for gpu in gpus) or "none"
        raise DeviceError(f"GPU {gpu_id!r}: expected one of nvidia-smi's, found {len(found)} matches; the cards are {there}")
    return found[0].bus_id
