"""Fixtures that the tests share."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

import cmm

ROOT = Path(__file__).parents[3]
SHIPPED = Path(cmm.__file__).parent / "models" / "fastminilm"
CLASSIFIER = ROOT / "models" / "fastminilm-sst2"


@pytest.fixture(scope="session")
def model() -> cmm.SentenceTransformer:
    """Returns the shipped model on the CPU."""
    return cmm.SentenceTransformer(device="cpu")


@pytest.fixture(scope="session")
def software() -> int:
    """Returns the index of an adapter, which on most machines is a software one."""
    there = cmm.adapters()
    if not there:
        message = "no GPU adapter: what runs on GPUs is not tested; apt-get install mesa-vulkan-drivers gives one in software"
        print(message, file=sys.stderr)
        if os.environ.get("CMM_REQUIRE_GPU") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return there[0].index


@pytest.fixture
def prompted(tmp_path: Path) -> Path:
    """Returns a copy of the shipped model that declares prompts."""
    folder = tmp_path / "prompted"
    folder.mkdir()
    for file in SHIPPED.iterdir():
        (folder / file.name).symlink_to(file)
    declared = {"prompts": {"query": "query: ", "passage": "passage: ", "plain": ""}, "default_prompt_name": "plain", "similarity_fn_name": "dot"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(declared))
    return folder


@pytest.fixture
def reranker(tmp_path: Path) -> Path:
    """Returns a model with one score: the classifier's score of its second class."""
    import numpy as np

    folder = tmp_path / "reranker"
    shutil.copytree(CLASSIFIER, folder)
    shutil.copytree(SHIPPED, tmp_path / "fastminilm")
    config = json.loads((folder / "config.json").read_text())
    config["id2label"], config["label2id"], config["num_labels"] = {"0": "score"}, {"score": 0}, 1
    (folder / "config.json").write_text(json.dumps(config))
    weights = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(weights[:8], "little")
    header, data = json.loads(weights[8 : 8 + length]), weights[8 + length :]
    tensors = {}
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        kept = data[slice(*tensor["data_offsets"])]
        if name.startswith("classifier.") and tensor["shape"][0] == 2:
            kept, tensor["shape"][0] = kept[len(kept) // 2 :], 1
        tensors[name] = (tensor, np.frombuffer(kept, np.uint8))
    new, parts, offset = {}, [], 0
    for name, (tensor, kept) in tensors.items():
        new[name] = {**tensor, "data_offsets": [offset, offset + kept.size]}
        offset += kept.size
        parts.append(kept.tobytes())
    text = json.dumps(new).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))
    return folder
