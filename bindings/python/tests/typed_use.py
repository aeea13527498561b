"""Uses the package for type checkers: `mypy --strict` compares it with the stubs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import assert_type

import cmm


def use() -> None:
    model = cmm.SentenceTransformer("folder", device=0, precision="f16")
    vectors = model.encode(["a", "b"], batch_size=8, normalize_embeddings=True)
    assert_type(vectors, NDArray[np.float32])
    assert_type(model.encode("a", convert_to_numpy=False), Any)
    assert_type(model.encode_query("a"), NDArray[np.float32])
    assert_type(model.similarity(vectors, [[1.0, 2.0]]), NDArray[np.float32])
    assert_type(model.get_sentence_embedding_dimension(), int)
    ranked = cmm.CrossEncoder("folder").rank("query", ["a"], top_k=1)
    assert_type(ranked, list[dict[str, Any]])
    layer = cmm.FffLayer(np.zeros((1, 2)), None, np.zeros((3, 1)), depth=0)
    assert_type(layer.forward([[1.0, 2.0]]), NDArray[np.float32])
    assert_type(layer.path([[1.0, 2.0]]), NDArray[np.uint32])
    places: list[str | None] = [adapter.pci_bus_id for adapter in cmm.adapters()]
    print(places)
    try:
        model.encode("")
    except cmm.InputError as error:
        print(error)
