"""Seeds of the fuzz targets from the files of tests/: small ones as they are. Writes fuzz/corpus/TARGET/."""

import hashlib
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
LONGEST = 65536


def seed(target: str, data: bytes) -> None:
    folder = ROOT / "fuzz" / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    if len(data) <= LONGEST:
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def main() -> None:
    tests = ROOT / "tests"
    files = [path for path in tests.rglob("*") if path.is_file()]
    for path in files:
        data = path.read_bytes()
        if path.suffix == ".safetensors":
            seed("checkpoint", data)
            config = path.parent / "config.json"
            if config.exists():
                seed("model", config.read_bytes() + b"\0" + data)
        if path.name == "config.json":
            seed("config", data)
        if path.name.endswith("tokenizer.json"):
            seed("tokenizer", data)
        if path.suffix == ".npy":
            seed("npy", data)
        if path.suffix == ".tsv":
            seed("glue", b"\x01\x01" + data)
        if path.name.startswith("report"):
            seed("report", data)
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n"
    seed("npy", b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header + bytes(24))
    seed("index", b'{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"x"}}')
    seed("glue", b"\x00\x00main\tMSRvid\t2012\t1\t5.0\tA man.\tA dog.\n")
    seed("glue", b"\x07\x00premise,hypothesis,label\n\"a, b\",c,2\n")


main()
