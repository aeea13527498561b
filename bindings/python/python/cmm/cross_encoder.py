"""Scores of pairs of texts, with the interface of sentence-transformers."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmm.errors import ConfigError, InputError, InputTypeError
from cmm.folder import lasting_name
from cmm.options import Options, count, load, refuse
from cmm.progress import progress_bar

PAIRS_AT_ONCE = 1024
"""The pairs that are tokenized before they run, unless `batch_size` is smaller."""

Activation = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class CrossEncoder:
    """A model with a head that scores pairs of texts: a reranker has one score, a classifier has
    one for each class.

    The parameters are those of `SentenceTransformer`. No model of this kind comes with the package.
    """

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str],
        device: object = None,
        *,
        precision: str = "f32",
        activations: str = "f32",
        int8: bool = False,
        batch_tokens: int = 16_384,
        threads: int | None = None,
        **unsupported: Any,
    ) -> None:
        refuse(unsupported)
        if model_name_or_path is None:
            raise InputTypeError("model_name_or_path: expected a folder or a hub id, found None; no reranker comes with this package")
        options = Options(precision=precision, activations=activations, int8=int8, batch_tokens=batch_tokens, threads=threads)
        self._folder, self._model = load(model_name_or_path, device, options)
        self._asked_device = device if device is None or isinstance(device, int) else str(device)
        self._options = options
        if not self._model.labels:
            raise ConfigError(f"{self._folder}: expected a classification head, found none; see the `architectures` of its config.json")
        self._activation = _declared_activation(self._folder, self.num_labels)

    @property
    def num_labels(self) -> int:
        """The number of scores of a pair."""
        return len(self._model.labels)

    @property
    def labels(self) -> list[str]:
        """The names of the classes."""
        return self._model.labels

    @property
    def device(self) -> str:
        """The device that runs the model: `cpu`, or an adapter with its backend."""
        return self._model.device

    @property
    def max_length(self) -> int:
        """The number of tokens that a pair is cut to, including special tokens."""
        return self._model.max_tokens

    def predict(
        self,
        sentences: Sequence[str] | Iterable[Sequence[str]],
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        apply_softmax: bool = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        **unsupported: Any,
    ) -> Any:
        """Returns the scores of pairs: `[pairs]` if the model has one score, otherwise
        `[pairs, classes]`. A single pair `("query", "text")` gives them without the first axis.

        Scores pass through `activation_fn`, a function of arrays. By default this is the function
        that the model's configuration names; without one, a single score passes through the sigmoid
        and several scores stay as they are. `apply_softmax` is for several scores.
        """
        refuse({"convert_to_tensor": convert_to_tensor, **unsupported})
        if not convert_to_numpy:
            raise InputError("convert_to_numpy: expected True, found False")
        pairs, alone = _pairs(sentences)
        at_once = PAIRS_AT_ONCE if batch_size is None else count("batch_size", batch_size)
        with progress_bar(len(pairs), show_progress_bar, "pairs") as progress:
            scores = self._model.classify(pairs, at_once, progress)
        scores = (activation_fn or self._activation)(scores)
        if apply_softmax and self.num_labels > 1:
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            scores = powers / powers.sum(axis=1, keepdims=True)
        if self.num_labels == 1:
            scores = scores[:, 0]
        return scores[0] if alone else scores

    def rank(
        self,
        query: str,
        documents: Iterable[str],
        top_k: int | None = None,
        return_documents: bool = False,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        **unsupported: Any,
    ) -> list[dict[str, Any]]:
        """Returns the documents, best first: `corpus_id` is the place of each, `score` its score,
        and with `return_documents` `text` is its text.
        """
        if self.num_labels != 1:
            raise InputError(f"rank: expected a model with one score, found {self.num_labels}; use predict")
        if not isinstance(query, str):
            raise InputTypeError(f"query: expected str, found {type(query).__name__}")
        if isinstance(documents, (str, bytes)):
            raise InputTypeError(f"documents: expected a list of str, found {type(documents).__name__}")
        texts = list(documents)
        for place, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputTypeError(f"documents[{place}]: expected str, found {type(text).__name__}")
        most = len(texts) if top_k is None else count("top_k", top_k)
        scores = self.predict([(query, text) for text in texts], batch_size, show_progress_bar, activation_fn, **unsupported)
        best = np.argsort(-scores, kind="stable")[:most]
        return [{"corpus_id": int(place), "score": float(scores[place]), **({"text": texts[place]} if return_documents else {})} for place in best]

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), {"model_name_or_path": lasting_name(self._folder), "device": self._asked_device, **self._options})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._folder)!r}, device={self.device!r}, num_labels={self.num_labels})"


def _again(kind: type[CrossEncoder], options: dict[str, Any]) -> CrossEncoder:
    return kind(**options)


def _pairs(sentences: Any) -> tuple[list[tuple[str, str]], bool]:
    if isinstance(sentences, (str, bytes)) or not isinstance(sentences, Iterable):
        raise InputTypeError(f"sentences: expected a pair of str or a list of pairs, found {type(sentences).__name__}")
    given = list(sentences)
    alone = bool(given) and all(isinstance(text, str) for text in given)
    pairs = []
    for place, pair in enumerate([given] if alone else given):
        if isinstance(pair, (str, bytes)) or not isinstance(pair, Iterable):
            raise InputTypeError(f"pairs[{place}]: expected two texts, found {type(pair).__name__}")
        texts = tuple(pair)
        if len(texts) != 2:
            raise InputError(f"pairs[{place}]: expected two texts, found {len(texts)}")
        pairs.append(texts)
    return pairs, alone


def _sigmoid(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    #     # The sigmoid is computed in halves, so that no power overflows.
    shares: NDArray[np.float32] = np.float32(0.5) * (np.float32(1.0) + np.tanh(np.float32(0.5) * scores))
    return shares


def _identity(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    return scores


def _declared_activation(folder: Path, labels: int) -> Activation:
    """Returns the activation that sentence-transformers wrote into a configuration, or would use by
    default.
    """
    config = json.loads((folder / "config.json").read_text("utf-8"))
    beside = config.get("sentence_transformers")
    name = (beside.get("activation_fn") if isinstance(beside, dict) else None) or config.get("sbert_ce_default_activation_function")
    if name is None:
        return _sigmoid if labels == 1 else _identity
    known = {"Sigmoid": _sigmoid, "Identity": _identity}
    activation = known.get(str(name).rsplit(".", 1)[-1])
    if activation is None:
        raise ConfigError(f"activation_fn in {folder / 'config.json'}: expected Sigmoid or Identity, found {name!r}")
    return activation
