"""Sentences as vectors, with the interface of sentence-transformers."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmm.errors import ConfigError, InputError, InputTypeError
from cmm.folder import lasting_name
from cmm.options import Options, count, load, refuse
from cmm.progress import progress_bar
from cmm.vectors import Similarity, normalized, pairwise, similarity, vectors_of

TEXTS_AT_ONCE = 4096
"""The texts that are tokenized before they run, unless `batch_size` is smaller. The engine divides
them by their tokens.
"""


class SentenceTransformer:
    """A sentence encoder on a GPU or on the CPU.

    - `model_name_or_path`: a folder, a hub id, or None for the model that comes with this package
      (`CMM_MODEL` names another one).
    - `device`: None or "auto" for the best GPU, or the CPU if every adapter is a software one;
      "cpu"; "gpu"; an index of `cmm.adapters()`, a backend, a PCI bus id or part of a name;
      "cuda:N" for the card with this number in CUDA.
    - `precision`: the precision of the weights, f32 or f16.
    - `activations`: the precision of the activations; f16 runs on tensor cores and needs f16
      weights.
    - `int8`: whether the CPU computes products in 8-bit integers.
    - `batch_tokens`: the most tokens that run at once.
    - `threads`: the number of CPU threads; None means all.
    - `prompts`, `default_prompt_name`, `truncate_dim`, `similarity_fn_name`: as in
      sentence-transformers, in addition to what the model's folder says.

    A model is pickled as its folder and these options: the other process loads it again.
    """

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | None = None,
        device: object = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: Similarity | None = None,
        truncate_dim: int | None = None,
        *,
        precision: str = "f32",
        activations: str = "f32",
        int8: bool = False,
        batch_tokens: int = 16_384,
        threads: int | None = None,
        **unsupported: Any,
    ) -> None:
        refuse(unsupported)
        options = Options(precision=precision, activations=activations, int8=int8, batch_tokens=batch_tokens, threads=threads)
        self._folder, self._model = load(model_name_or_path, device, options)
        self._asked_device = device if device is None or isinstance(device, int) else str(device)
        self._options = options
        declared = _declared(self._folder)
        self.prompts: dict[str, str] = {**self._model.prompts, **(prompts or {})}
        for name, prompt in self.prompts.items():
            if not isinstance(prompt, str):
                raise InputTypeError(f"prompts[{name!r}]: expected str, found {type(prompt).__name__}")
        if default_prompt_name is not None:
            self._named(default_prompt_name)
        self.default_prompt_name: str | None = default_prompt_name or declared.get("default_prompt_name")
        by = similarity_fn_name or declared.get("similarity_fn_name") or "cosine"
        if by not in get_args(Similarity):
            raise ConfigError(f"similarity_fn_name: expected one of {', '.join(get_args(Similarity))}, found {by!r}")
        self.similarity_fn_name: Similarity = cast(Similarity, by)
        self.truncate_dim: int | None = None if truncate_dim is None else self._dimension(truncate_dim)

    @classmethod
    def of(cls, model: "str | os.PathLike[str] | SentenceTransformer | None", device: object = None, **options: Any) -> "SentenceTransformer":
        """Returns the given model, or loads a new one."""
        if not isinstance(model, SentenceTransformer):
            return cls(model, device, **options)
        if device is not None or options:
            raise InputError(f"model: expected a name beside device and options, found {model!r}, which is already loaded")
        return model

    @property
    def device(self) -> str:
        """The device that runs the model: `cpu`, or an adapter with its backend."""
        return self._model.device

    @property
    def max_seq_length(self) -> int:
        """The number of tokens that a text is cut to, including special tokens."""
        return self._model.max_tokens

    def get_max_seq_length(self) -> int:
        """Returns `max_seq_length`."""
        return self.max_seq_length

    def get_sentence_embedding_dimension(self) -> int:
        """Returns the number of values of a vector."""
        return self.truncate_dim or self._model.width

    def get_embedding_dimension(self) -> int:
        """Returns the number of values of a vector."""
        return self.get_sentence_embedding_dimension()

    @overload
    def encode(
        self,
        sentences: str | Iterable[str],
        prompt_name: str | None = ...,
        prompt: str | None = ...,
        batch_size: int | None = ...,
        show_progress_bar: bool | None = ...,
        output_value: str | None = ...,
        precision: str = ...,
        convert_to_numpy: Literal[True] = ...,
        convert_to_tensor: Literal[False] = ...,
        device: object = ...,
        normalize_embeddings: bool = ...,
        truncate_dim: int | None = ...,
        **unsupported: Any,
    ) -> NDArray[np.float32]: ...

    @overload
    def encode(
        self,
        sentences: str | Iterable[str],
        prompt_name: str | None = ...,
        prompt: str | None = ...,
        batch_size: int | None = ...,
        show_progress_bar: bool | None = ...,
        output_value: str | None = ...,
        precision: str = ...,
        convert_to_numpy: bool = ...,
        convert_to_tensor: bool = ...,
        device: object = ...,
        normalize_embeddings: bool = ...,
        truncate_dim: int | None = ...,
        **unsupported: Any,
    ) -> Any: ...

    def encode(
        self,
        sentences: str | Iterable[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        output_value: str | None = "sentence_embedding",
        precision: str = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: object = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        **unsupported: Any,
    ) -> Any:
        """Returns the vector of a text, `[width]`, or those of several texts, `[texts, width]`, in
        f32.

        `prompt` is put before each text, or the model's prompt of the name `prompt_name`.
        `batch_size` is the most texts that run at once; None leaves it to the engine, which counts
        tokens. Neither changes a vector. `truncate_dim` cuts vectors before `normalize_embeddings`
        divides them by their length. `convert_to_numpy=False` returns a list of arrays,
        `convert_to_tensor=True` a torch tensor on the CPU.
        """
        if output_value != "sentence_embedding":
            raise InputError(f"output_value: expected 'sentence_embedding', the only one that is implemented, found {output_value!r}")
        if precision != "float32":
            raise InputError(f"precision: expected 'float32', because vectors are not quantized here, found {precision!r}")
        refuse({"device": device, **unsupported})
        at_once = TEXTS_AT_ONCE if batch_size is None else count("batch_size", batch_size)
        dimension = self._dimension(truncate_dim) if truncate_dim is not None else self.get_sentence_embedding_dimension()
        before = self._prompt(prompt, prompt_name)
        alone = isinstance(sentences, str)
        texts = _texts(sentences)
        with progress_bar(len(texts), show_progress_bar, "texts") as progress:
            rows = self._model.embed(texts, before, at_once, progress)
        if dimension != rows.shape[1]:
            rows = np.ascontiguousarray(rows[:, :dimension])
        if normalize_embeddings:
            rows = normalized(rows)
        if convert_to_tensor:
            rows = _torch().from_numpy(rows)
        elif not convert_to_numpy and not alone:
            return list(rows)
        return rows[0] if alone else rows

    def encode_query(self, sentences: str | Iterable[str], prompt_name: str | None = None, prompt: str | None = None, **options: Any) -> NDArray[np.float32]:
        """Encodes like `encode`, with the model's prompt `query` if it has one and no other prompt
        is given.
        """
        return self._encode_as(("query",), sentences, prompt_name, prompt, options)

    def encode_document(
        self, sentences: str | Iterable[str], prompt_name: str | None = None, prompt: str | None = None, **options: Any
    ) -> NDArray[np.float32]:
        """Encodes like `encode`, with the model's prompt `document`, `passage` or `corpus` if it
        has one and no other prompt is given.
        """
        return self._encode_as(("document", "passage", "corpus"), sentences, prompt_name, prompt, options)

    def similarity(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> NDArray[np.float32]:
        """Returns the similarity of each vector of the first to each of the second,
        `[first, second]`: the cosine, unless `similarity_fn_name` says otherwise.
        """
        return similarity(vectors_of("embeddings1", embeddings1), vectors_of("embeddings2", embeddings2), self.similarity_fn_name)

    def similarity_pairwise(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> NDArray[np.float32]:
        """Returns the similarity of each vector of the first to the vector at the same place of the
        second, `[vectors]`.
        """
        return pairwise(vectors_of("embeddings1", embeddings1), vectors_of("embeddings2", embeddings2), self.similarity_fn_name)

    def tokenize(self, texts: str | Iterable[str]) -> dict[str, NDArray[np.int64]]:
        """Returns `input_ids`, `token_type_ids` and `attention_mask`, each `[texts, longest]`.
        Where the mask is 0, ids are 0 too.
        """
        tokens = self._model.tokenize(_texts(texts))
        shape = (len(tokens), max((len(ids) for ids, _ in tokens), default=0))
        ids, kinds, mask = (np.zeros(shape, np.int64) for _ in range(3))
        for row, (of_text, types) in enumerate(tokens):
            ids[row, : len(of_text)] = of_text
            kinds[row, : len(types)] = types
            mask[row, : len(of_text)] = 1
        return {"input_ids": ids, "token_type_ids": kinds, "attention_mask": mask}

    def _encode_as(
        self, names: tuple[str, ...], sentences: str | Iterable[str], prompt_name: str | None, prompt: str | None, options: dict[str, Any]
    ) -> NDArray[np.float32]:
        if prompt is None and prompt_name is None:
            prompt_name = next((name for name in names if name in self.prompts), None)
        rows: NDArray[np.float32] = self.encode(sentences, prompt_name, prompt, **options)
        return rows

    def _prompt(self, prompt: str | None, prompt_name: str | None) -> str:
        if prompt is not None:
            if prompt_name is not None:
                raise InputError(f"prompt_name: expected none beside prompt={prompt!r}, found {prompt_name!r}")
            if not isinstance(prompt, str):
                raise InputTypeError(f"prompt: expected str, found {type(prompt).__name__}")
            return prompt
        name = prompt_name if prompt_name is not None else self.default_prompt_name
        return "" if name is None else self._named(name)

    def _named(self, name: str) -> str:
        if name not in self.prompts:
            known = f"one of {', '.join(map(repr, self.prompts))}" if self.prompts else "no name, because this model declares no prompts"
            raise InputError(f"prompt_name: expected {known}, found {name!r}")
        return self.prompts[name]

    def _dimension(self, truncate_dim: int) -> int:
        dimension = count("truncate_dim", truncate_dim)
        if dimension > self._model.width:
            raise InputError(f"truncate_dim: expected at most the model's {self._model.width}, found {dimension}")
        return dimension

    def __reduce__(self) -> tuple[Any, ...]:
        again = {
            "model_name_or_path": lasting_name(self._folder),
            "device": self._asked_device,
            "prompts": self.prompts,
            "default_prompt_name": self.default_prompt_name,
            "similarity_fn_name": self.similarity_fn_name,
            "truncate_dim": self.truncate_dim,
            **self._options,
        }
        return _again, (type(self), again)

    def __repr__(self) -> str:
        cut = f", truncate_dim={self.truncate_dim}" if self.truncate_dim else ""
        return f"{type(self).__name__}({str(self._folder)!r}, device={self.device!r}, dimension={self._model.width}, max_seq_length={self.max_seq_length}{cut})"


def _again(kind: type[SentenceTransformer], options: dict[str, Any]) -> SentenceTransformer:
    return kind(**options)


def _declared(folder: Path) -> dict[str, Any]:
    """Returns the settings that sentence-transformers wrote beside the model. The library has
    checked its prompts.
    """
    try:
        declared = json.loads((folder / "config_sentence_transformers.json").read_text("utf-8"))
    except FileNotFoundError:
        return {}
    return declared if isinstance(declared, dict) else {}


def _texts(sentences: str | Iterable[str]) -> list[str]:
    if isinstance(sentences, str):
        return [sentences]
    if isinstance(sentences, (bytes, Mapping)) or not isinstance(sentences, Iterable):
        raise InputTypeError(f"sentences: expected str or a list of str, found {type(sentences).__name__}")
    return list(sentences)


def _torch() -> Any:
    try:
        import torch
    except ImportError as missing:
        raise InputError("convert_to_tensor: expected PyTorch to be installed, found none") from missing
    return torch
