"""Embedders for Haystack: `pip install haystack-ai`."""

from dataclasses import replace
from typing import Any

from cmm.errors import InputTypeError
from cmm.sentence_transformer import SentenceTransformer

try:
    from haystack import Document, component, default_from_dict, default_to_dict
except ImportError as missing:
    raise ImportError("cmm.haystack needs haystack-ai: pip install haystack-ai") from missing


class _Embedder:
    """The base of both embedders: a model, loaded by `warm_up` or when it is first needed."""

    def __init__(self, model: str | None, device: str | int | None, options: dict[str, Any] | None) -> None:
        self.model = model
        self.device = device
        self.options = dict(options or {})
        self._loaded: SentenceTransformer | None = None

    def warm_up(self) -> None:
        """Loads the model."""
        self._encoder()

    def _encoder(self) -> SentenceTransformer:
        if self._loaded is None:
            self._loaded = SentenceTransformer(self.model, self.device, **self.options)
        return self._loaded


@component
class CmmTextEmbedder(_Embedder):
    """Embeds a query, with the model's own prompt for queries.

    `model` is a folder, a hub id, or None for the model that comes with the package. `device` and
    `options` are those of `SentenceTransformer`.
    """

    def __init__(self, model: str | None = None, device: str | int | None = None, options: dict[str, Any] | None = None) -> None:
        #         # super() does not work here: `component` makes another class of this one.
        _Embedder.__init__(self, model, device, options)

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, list[float]]:
        """Returns the text's vector as `embedding`."""
        if not isinstance(text, str):
            raise InputTypeError(f"text: expected str, found {type(text).__name__}; documents are for CmmDocumentEmbedder")
        return {"embedding": self._encoder().encode_query(text).tolist()}

    def to_dict(self) -> dict[str, Any]:
        """Writes the component for Haystack's files."""
        made: dict[str, Any] = default_to_dict(self, model=self.model, device=self.device, options=self.options)
        return made

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "CmmTextEmbedder":
        """Reads the component from Haystack's files."""
        made: CmmTextEmbedder = default_from_dict(cls, data)
        return made


@component
class CmmDocumentEmbedder(_Embedder):
    """Embeds documents in one batch, with the model's own prompt for documents.

    `meta_fields_to_embed` names the fields of a document's meta that are put before its content,
    joined by `embedding_separator`. The other parameters are those of `CmmTextEmbedder`.
    """

    def __init__(
        self,
        model: str | None = None,
        device: str | int | None = None,
        options: dict[str, Any] | None = None,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
    ) -> None:
        #         # super() does not work here: `component` makes another class of this one.
        _Embedder.__init__(self, model, device, options)
        self.meta_fields_to_embed = list(meta_fields_to_embed or [])
        self.embedding_separator = embedding_separator

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Returns copies of the documents with their `embedding` as `documents`."""
        if not isinstance(documents, list) or not all(isinstance(document, Document) for document in documents):
            raise InputTypeError("documents: expected a list of Document; a text is for CmmTextEmbedder")
        vectors = self._encoder().encode_document([self._text(document) for document in documents]).tolist()
        return {"documents": [replace(document, embedding=vector) for document, vector in zip(documents, vectors)]}

    def _text(self, document: Document) -> str:
        fields = [str(document.meta[field]) for field in self.meta_fields_to_embed if document.meta.get(field) is not None]
        return self.embedding_separator.join([*fields, document.content or ""])

    def to_dict(self) -> dict[str, Any]:
        """Writes the component for Haystack's files."""
        made: dict[str, Any] = default_to_dict(
            self,
            model=self.model,
            device=self.device,
            options=self.options,
            meta_fields_to_embed=self.meta_fields_to_embed,
            embedding_separator=self.embedding_separator,
        )
        return made

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "CmmDocumentEmbedder":
        """Reads the component from Haystack's files."""
        made: CmmDocumentEmbedder = default_from_dict(cls, data)
        return made
