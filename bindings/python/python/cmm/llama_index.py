"""Embeddings for LlamaIndex: `pip install llama-index-core`."""

import asyncio
import os
from typing import Any

from cmm.sentence_transformer import TEXTS_AT_ONCE, SentenceTransformer

try:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.bridge.pydantic import PrivateAttr
except ImportError as missing:
    raise ImportError("cmm.llama_index needs llama-index-core: pip install llama-index-core") from missing


class CmmEmbedding(BaseEmbedding):
    """Embeds nodes in batches, and queries, with a model's own prompts for documents and queries.

    `model` is a folder, a hub id, None for the model that comes with the package, or a
    `SentenceTransformer`. `device` and further options are those of `SentenceTransformer`.
    `embed_batch_size` is the number of nodes that LlamaIndex hands over at once, up to 2,048, which
    is its limit.
    """

    _model: SentenceTransformer = PrivateAttr()

    def __init__(
        self,
        model: str | os.PathLike[str] | SentenceTransformer | None = None,
        device: object = None,
        *,
        embed_batch_size: int = min(TEXTS_AT_ONCE, 2048),
        callback_manager: Any = None,
        **options: Any,
    ) -> None:
        loaded = SentenceTransformer.of(model, device, **options)
        given = {} if callback_manager is None else {"callback_manager": callback_manager}
        super().__init__(model_name=repr(loaded), embed_batch_size=embed_batch_size, **given)
        self._model = loaded

    @classmethod
    def class_name(cls) -> str:
        """Returns the name of the class in LlamaIndex's files."""
        return "CmmEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        vector: list[float] = self._model.encode_query(query).tolist()
        return vector

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._model.encode_document(list(texts)).tolist()
        return vectors

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)
