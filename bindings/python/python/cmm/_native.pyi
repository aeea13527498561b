from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

def adapters() -> list[tuple[int, str, str, str, str, str | None]]: ...

class Model:
    device: str
    def __init__(
        self,
        folder: str,
        *,
        device: str,
        weights: str,
        activations: str,
        int8: bool,
        batch_tokens: int,
        threads: int | None,
    ) -> None: ...
    @property
    def width(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def prompts(self) -> dict[str, str]: ...
    @property
    def labels(self) -> list[str]: ...
    def embed(self, texts: list[str], prompt: str, batch: int, progress: Callable[[int], object] | None) -> NDArray[np.float32]: ...
    def classify(self, pairs: list[tuple[str, str]], batch: int, progress: Callable[[int], object] | None) -> NDArray[np.float32]: ...
    def tokenize(self, texts: list[str]) -> list[tuple[list[int], list[int]]]: ...

class Layer:
    device: str
    def __init__(
        self,
        linear_in: NDArray[np.float32],
        bias: NDArray[np.float32] | None,
        linear_out: NDArray[np.float32],
        output_bias: NDArray[np.float32] | None,
        *,
        trees: int,
        depth: int,
        form: str,
        leaf_width: int,
        activation: str,
        device: str,
        weights: str,
        threads: int | None,
    ) -> None: ...
    def forward(self, x: NDArray[np.float32], with_path: bool) -> tuple[NDArray[np.float32], NDArray[np.uint32]]: ...
