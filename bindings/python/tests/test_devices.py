import os
import stat

import pytest

import cmm
from cmm.devices import native_device
from cmm.nvidia import NvidiaGpu, bus_id_of, parse_nvidia_smi

ANSWER = """0, 00000000:1B:00.0, GPU-5a1b2c3d-0000-1111-2222-333344445555
1, 00000000:43:00.0, GPU-6a1b2c3d-0000-1111-2222-333344445555
2, 00000000:9D:00.0, GPU-6b1b2c3d-0000-1111-2222-333344445555
"""


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """A program of that name that answers as the real one does, and only what it is asked."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"""#!/bin/sh
[ "$1 $2" = "--query-gpu=index,pci.bus_id,uuid --format=csv,noheader" ] || exit 2
cat <<'END'
{ANSWER}END
""")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return program


def test_what_nvidia_smi_answers():
    gpus = parse_nvidia_smi(ANSWER)
    assert gpus[1] == NvidiaGpu(1, "00000000:43:00.0", "GPU-6a1b2c3d-0000-1111-2222-333344445555")
    assert len(gpus) == 3 and parse_nvidia_smi("") == []
    with pytest.raises(cmm.DeviceError, match="expected a line of index"):
        parse_nvidia_smi("No devices were found\n")


def test_a_card_by_index_uuid_or_its_beginning():
    gpus = parse_nvidia_smi(ANSWER)
    assert bus_id_of("2", gpus) == "00000000:9D:00.0"
    assert bus_id_of(gpus[0].uuid, gpus) == "00000000:1B:00.0"
    assert bus_id_of("GPU-6a", gpus) == "00000000:43:00.0"
    for unclear in ("3", "GPU-6", "GPU-7", "", "-1"):
        with pytest.raises(cmm.DeviceError, match="expected one of nvidia-smi's"):
            bus_id_of(unclear, gpus)
    with pytest.raises(cmm.DeviceError, match="MIG"):
        bus_id_of("MIG-6a1b2c3d", gpus)


def test_cuda_numbers_cards_as_the_environment_says(nvidia_smi, monkeypatch):
    assert native_device("cuda") == "00000000:1B:00.0"
    assert native_device("cuda:1") == "00000000:43:00.0"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-5a1b2c3d")
    assert native_device("cuda:0") == "00000000:9D:00.0"
    assert native_device("CUDA:1") == "00000000:1B:00.0"
    for shown in ("2", ""):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
        with pytest.raises(cmm.DeviceError, match="shows [01] cards"):
            native_device("cuda:1")
    # That card is no adapter here: nothing else runs in its place.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(cmm.DeviceError, match="PCI bus id 0000:1b:00.0"):
        cmm.SentenceTransformer(device="cuda")


def test_an_nvidia_smi_that_fails(nvidia_smi, monkeypatch, tmp_path):
    nvidia_smi.write_text("#!/bin/sh\necho could not talk to the driver >&2\nexit 9\n")
    with pytest.raises(cmm.DeviceError, match="could not talk to the driver"):
        native_device("cuda")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(cmm.DeviceError, match="nvidia-smi: not found"):
        native_device("cuda")


def test_names_of_devices():
    class TorchDevice:
        def __str__(self):
            return "cpu"

    assert [native_device(name) for name in (None, "cpu", "gpu", 3, "mps", "vulkan", TorchDevice())] == ["auto", "cpu", "default", "3", "metal", "vulkan", "cpu"]
    for bad in (True, ["cpu"], {}, -1, " "):
        with pytest.raises(cmm.InputError, match="device: expected"):
            native_device(bad)


def test_devices_that_are_not_there():
    for device, said in (("no such card", "named like `no such card`"), (99, "index 99"), ("0000:fe:1f.7", "PCI bus id 0000:fe:1f.7")):
        with pytest.raises(cmm.DeviceError, match=said) as raised:
            cmm.SentenceTransformer(device=device)
        assert isinstance(raised.value, RuntimeError)


def test_adapters_by_index_and_name(software):
    adapter = cmm.adapters()[software]
    assert adapter.index == software and adapter.backend and adapter.name
    assert adapter.name in cmm.SentenceTransformer(device=adapter.name).device
