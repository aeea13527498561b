"""Embedding on many machines with Ray Data: `pip install "ray[data]"`.

    dataset.map_batches(
        cmm.ray.Embed,
        fn_constructor_kwargs={"text_column": "text"},
        compute=ray.data.ActorPoolStrategy(size=8),  # an actor for each device
        num_gpus=1,                                  # or num_cpus=4 where there are no GPUs
        batch_size=8192,
        batch_format="pyarrow",
    )
"""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmm.devices import native_device
from cmm.errors import DeviceError, InputError, InputTypeError
from cmm.nvidia import bus_id_of, nvidia_gpus
from cmm.sentence_transformer import SentenceTransformer

try:
    import pyarrow as pa
    import ray
except ImportError as missing:
    raise ImportError('cmm.ray needs Ray Data: pip install "ray[data]"') from missing


class Embed:
    """A callable class for `Dataset.map_batches`, which adds a column of vectors to each batch.

    Batches are Arrow tables (`batch_format="pyarrow"`), in which the vectors are a fixed-size list
    of float, or dicts of numpy arrays, in which they are `[rows, width]`.

    `model` is that of `SentenceTransformer`; a folder must be on every node. `text_column` and
    `vector_column` are the names of the columns. `device=None` means the card that Ray gave the
    actor by `num_gpus`, found by its PCI bus id, or the CPU if Ray gave it none. `threads` is for
    the CPU; None means as many as Ray gave the actor by `num_cpus`, so that the actors of one node
    do not crowd each other out. `encode_kwargs` go to `SentenceTransformer.encode`, and further
    options to its constructor.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        text_column: str = "text",
        vector_column: str = "embedding",
        device: str | int | None = None,
        threads: int | None = None,
        encode_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        if text_column == vector_column:
            raise InputError(f"vector_column: expected another name than text_column's, found {vector_column!r}")
        self.text_column, self.vector_column = text_column, vector_column
        self.encode_kwargs = dict(encode_kwargs or {})
        asked = actor_device() if device is None else native_device(device)
        self.model = SentenceTransformer(model, asked, threads=threads or actor_threads(), **options)

    def __call__(self, batch: Any) -> Any:
        if isinstance(batch, pa.Table):
            vectors = self._vectors(self._column(batch.column_names, batch).to_pylist())
            width = self.model.get_sentence_embedding_dimension() if not len(vectors) else vectors.shape[1]
            rows = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), width)
            if self.vector_column in batch.column_names:
                batch = batch.drop_columns([self.vector_column])
            return batch.append_column(self.vector_column, rows)
        if isinstance(batch, Mapping):
            return {**batch, self.vector_column: self._vectors(list(self._column(list(batch), batch)))}
        raise InputTypeError(f'batch: expected an Arrow table (batch_format="pyarrow") or a dict of arrays, found {type(batch).__name__}')

    def _column(self, names: list[str], batch: Any) -> Any:
        if self.text_column not in names:
            raise InputError(f"text_column: expected one of {', '.join(names)}, found {self.text_column!r}")
        return batch[self.text_column]

    def _vectors(self, texts: list[Any]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self.model.encode(texts, **self.encode_kwargs)
        return vectors


def actor_device() -> str:
    """Returns the device that Ray gave this actor: the card with its GPU id, by its PCI bus id, or
    the CPU.
    """
    ids = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
    if not ids:
        return "cpu"
    if len(ids) > 1:
        raise DeviceError(f"num_gpus: expected 1, because a model runs on one card, found {len(ids)}; start more actors instead")
    return bus_id_of(ids[0], nvidia_gpus())


def actor_threads() -> int:
    """Returns the number of threads for this actor: the CPUs that Ray gave it, or otherwise this
    card's share of the node's CPUs.
    """
    given = ray.get_runtime_context().get_assigned_resources().get("CPU", 0)
    if given:
        return max(1, int(given))
    on_card = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
    cards = len(nvidia_gpus()) if on_card else 1
    return max(1, (os.cpu_count() or 1) // max(1, cards))
