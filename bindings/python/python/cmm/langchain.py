"""Embeddings for LangChain: `pip install langchain-core`."""

import os
from typing import Any

from cmm.sentence_transformer import SentenceTransformer

try:
    from langchain_core.embeddings import Embeddings
except ImportError as missing:
    raise ImportError("cmm.langchain needs langchain-core: pip install langchain-core") from missing


class CmmEmbeddings(Embeddings):
    """Embeds documents in one batch, and queries, with a model's own prompts for both.

    `model` is a folder, a hub id, None for the model that comes with the package, or a
    `SentenceTransformer`. `device` and further options are those of `SentenceTransformer`.
    `encode_kwargs` go to its `encode`, for example `{"normalize_embeddings": True}`.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | SentenceTransformer | None = None,
        device: object = None,
        *,
        encode_kwargs: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.model = SentenceTransformer.of(model, device, **options)
        self.encode_kwargs = dict(encode_kwargs or {})

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Returns a vector for each text."""
        vectors: list[list[float]] = self.model.encode_document(list(texts), **self.encode_kwargs).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Returns the vector of a question."""
        vector: list[float] = self.model.encode_query(text, **self.encode_kwargs).tolist()
        return vector
