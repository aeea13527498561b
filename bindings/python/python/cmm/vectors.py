"""Computations on vectors after a model made them."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmm.errors import InputError, InputTypeError

Similarity = Literal["cosine", "dot", "euclidean"]
"""The similarity of two vectors: the cosine of their angle, their dot product, or the negative
distance between them.
"""


def normalized(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns rows of length one. A row of zeros stays as it is."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    unit: NDArray[np.float32] = (rows / np.maximum(lengths, 1e-12)).astype(np.float32, copy=False)
    return unit


def vectors_of(what: str, given: ArrayLike) -> NDArray[np.float32]:
    """Returns one vector or several as `[vectors, width]` in f32."""
    array = float32(what, given)
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2:
        raise InputError(f"{what}: expected one vector or [vectors, width], found shape {list(array.shape)}")
    return array


def float32(what: str, given: Any) -> NDArray[np.float32]:
    """Returns a contiguous f32 array of finite numbers. It is the given one if that is already such
    an array.
    """
    try:
        array = np.asarray(given)
    except ValueError as failed:
        raise InputError(f"{what}: expected an array of numbers, found {failed}") from failed
    if array.dtype.kind not in "fiu":
        raise InputTypeError(f"{what}: expected an array of real numbers, found dtype {array.dtype}")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=np.float32) if array.ndim else array.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(array.reshape(-1)))
    if bad.size:
        place = [int(index) for index in np.unravel_index(bad[0], array.shape)]
        raise InputError(f"{what}{place}: expected a finite number of f32, found {np.asarray(given)[tuple(place)]}")
    return array


def similarity(a: NDArray[np.float32], b: NDArray[np.float32], by: Similarity) -> NDArray[np.float32]:
    """Returns the similarities, `[vectors of a, vectors of b]`."""
    if a.shape[1] != b.shape[1]:
        raise InputError(f"embeddings2: expected vectors of {a.shape[1]} values as embeddings1 has, found {b.shape[1]}")
    if by == "cosine":
        return normalized(a) @ normalized(b).T
    if by == "dot":
        return a @ b.T
    #     # This is computed in f64, because the squares of nearly equal vectors cancel out.
    wide, other = a.astype(np.float64), b.astype(np.float64)
    squared = (wide**2).sum(1)[:, None] + (other**2).sum(1)[None, :] - 2 * (wide @ other.T)
    distances: NDArray[np.float32] = (-np.sqrt(np.maximum(squared, 0))).astype(np.float32)
    return distances


def pairwise(a: NDArray[np.float32], b: NDArray[np.float32], by: Similarity) -> NDArray[np.float32]:
    """Returns the similarity of each row of `a` to the same row of `b`, `[vectors]`."""
    if a.shape != b.shape:
        raise InputError(f"embeddings2: expected shape {list(a.shape)} as embeddings1 has, found {list(b.shape)}")
    if by == "euclidean":
        distances: NDArray[np.float32] = -np.linalg.norm(a - b, axis=1)
        return distances
    if by == "cosine":
        a, b = normalized(a), normalized(b)
    products: NDArray[np.float32] = (a * b).sum(1)
    return products
