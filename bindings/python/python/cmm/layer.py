"""A fast feedforward (FFF) layer on numpy arrays."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmm import _native
from cmm.devices import native_device
from cmm.errors import InputError
from cmm.options import count, precision_of
from cmm.vectors import float32


class FffLayer:
    """An FFF layer of K `trees` of `depth` D, on a GPU or on the CPU.

    The arrays are those of UltraFastBERT's checkpoints: `linear_in [nodes, input]`, `bias [nodes]`
    or None for zeros, and `linear_out [output, nodes]`, with a column for each node. There are
    nodes = K * (2^(D+1) - 1), trees follow one another, and nodes are in heap order (the children
    of n are 2n+1 and 2n+2). With `form="signed"` a node has two columns, `[output, 2 * nodes]`, the
    first of them for a logit of at most zero. For the leaf form see `FffLayer.leaf`.

    `device`, `precision` and `threads` are those of `SentenceTransformer`. Weights are copied:
    later changes of the arrays change nothing.
    """

    def __init__(
        self,
        linear_in: ArrayLike,
        bias: ArrayLike | None,
        linear_out: ArrayLike,
        *,
        trees: int = 1,
        depth: int,
        form: Literal["published", "signed"] = "published",
        device: object = None,
        precision: str = "f32",
        threads: int | None = None,
    ) -> None:
        if form not in ("published", "signed"):
            raise InputError(f"form: expected 'published' or 'signed', found {form!r}; a layer in the leaf form is made by FffLayer.leaf")
        nodes = count("trees", trees) * (2 ** (_depth(depth) + 1) - 1)
        rows = _shaped("linear_in", linear_in, {"nodes": nodes, "input": None})
        columns = _shaped("linear_out", linear_out, {"output": None, "nodes" if form == "published" else "2 * nodes": nodes * (1 + (form == "signed"))})
        biases = None if bias is None else _shaped("bias", bias, {"nodes": nodes})
        native = _Native(trees=int(trees), depth=int(depth), form=form, leaf_width=0, activation="gelu")
        self._start(native, rows, biases, np.ascontiguousarray(columns.T), None, device, precision, threads)

    @classmethod
    def leaf(
        cls,
        node_weights: ArrayLike,
        node_biases: ArrayLike,
        w1s: ArrayLike,
        b1s: ArrayLike,
        w2s: ArrayLike,
        b2s: ArrayLike | None = None,
        *,
        activation: Literal["gelu", "relu"],
        device: object = None,
        precision: str = "f32",
        threads: int | None = None,
    ) -> "FffLayer":
        """Creates a layer in the leaf form (arXiv 2308.14711) from the arrays of the package
        `fastfeedforward`. The default activation of that package is ReLU.

        The arrays are `node_weights [2^D - 1, input]`, `node_biases [2^D - 1]` or `[2^D - 1, 1]`,
        `w1s [2^D, input, width]`, `b1s [2^D, width]`, `w2s [2^D, width, output]`, and
        `b2s [2^D, output]`. With None instead of `b2s` it is left out, as in that package's
        evaluation.
        """
        first = _shaped("w1s", w1s, {"leaves": None, "input": None, "width": None})
        leaves, inputs, width = first.shape
        if leaves < 1 or leaves & (leaves - 1):
            raise InputError(f"w1s: expected a power of two of leaves, found {leaves}")
        nodes = leaves - 1
        deciding = _shaped("node_weights", node_weights, {"nodes": nodes, "input": inputs})
        decision_biases = float32("node_biases", node_biases)
        if decision_biases.size != nodes or decision_biases.ndim > 2:
            raise InputError(f"node_biases: expected shape [nodes={nodes}] or [nodes={nodes}, 1], found {list(decision_biases.shape)}")
        neuron_biases = _shaped("b1s", b1s, {"leaves": leaves, "width": width})
        second = _shaped("w2s", w2s, {"leaves": leaves, "width": width, "output": None})
        outputs = second.shape[2]
        output_bias = None if b2s is None else _shaped("b2s", b2s, {"leaves": leaves, "output": outputs})
        rows = np.concatenate([deciding, first.transpose(0, 2, 1).reshape(leaves * width, inputs)])
        biases = np.concatenate([decision_biases.reshape(-1), neuron_biases.reshape(-1)])
        layer = cls.__new__(cls)
        native = _Native(trees=1, depth=leaves.bit_length() - 1, form="leaf", leaf_width=width, activation=activation)
        layer._start(native, rows, biases, second.reshape(leaves * width, outputs), output_bias, device, precision, threads)
        return layer

    def _start(
        self,
        shape: "_Native",
        linear_in: NDArray[np.float32],
        bias: NDArray[np.float32] | None,
        linear_out: NDArray[np.float32],
        output_bias: NDArray[np.float32] | None,
        device: object,
        precision: str,
        threads: int | None,
    ) -> None:
        self._sizes = shape
        self.input, self.output = linear_in.shape[1], linear_out.shape[1]
        self.precision = precision_of("precision", precision)
        self._layer = _native.Layer(
            linear_in,
            bias,
            linear_out,
            output_bias,
            **shape.__dict__,
            device=native_device(device),
            weights=self.precision,
            threads=None if threads is None else count("threads", threads),
        )

    @property
    def trees(self) -> int:
        """The number of trees, K."""
        return self._sizes.trees

    @property
    def depth(self) -> int:
        """The depth D, which is the number of decisions on a path."""
        return self._sizes.depth

    @property
    def form(self) -> str:
        """`published`, `signed` or `leaf`."""
        return self._sizes.form

    @property
    def device(self) -> str:
        """The device that runs the layer: `cpu`, or an adapter with its backend."""
        return self._layer.device

    def forward(self, x: ArrayLike) -> NDArray[np.float32]:
        """Returns y `[..., output]` for x `[..., input]`. A contiguous f32 array is read without a
        copy.
        """
        return self._run(x, False)[0]

    __call__ = forward

    def path(self, x: ArrayLike) -> NDArray[np.uint32]:
        """Returns the node of each level that each token comes to, `[..., trees, levels]`, in heap
        order within its tree. In the leaf form the last one is the leaf.
        """
        return self._run(x, True)[1]

    def forward_with_path(self, x: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
        """Returns y and the path."""
        return self._run(x, True)

    def _run(self, x: ArrayLike, with_path: bool) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
        tokens = float32("x", x)
        if tokens.ndim == 0 or tokens.shape[-1] != self.input:
            raise InputError(f"x: expected shape [..., input={self.input}], found {list(tokens.shape)}")
        leading = tokens.shape[:-1]
        y, path = self._layer.forward(tokens.reshape(-1, self.input), with_path)
        places = (self.trees, self.depth + 1) if with_path else (0,)
        return y.reshape(*leading, self.output), path.reshape(*leading, *places)

    def __repr__(self) -> str:
        return f"FffLayer({self.form} {self.trees}x{self.depth}, {self.input}->{self.output}, precision={self.precision!r}, device={self.device!r})"


class _Native:
    """The sizes of a layer in the form that the native half takes."""

    def __init__(self, *, trees: int, depth: int, form: str, leaf_width: int, activation: str) -> None:
        self.trees, self.depth, self.form, self.leaf_width, self.activation = trees, depth, form, leaf_width, activation


def _depth(depth: Any) -> int:
    if isinstance(depth, bool) or not hasattr(depth, "__index__") or not 0 <= int(depth) < 32:
        raise InputError(f"depth: expected 0 to 31, found {depth!r}")
    return int(depth)


def _shaped(what: str, given: ArrayLike, sizes: dict[str, int | None]) -> NDArray[np.float32]:
    array = float32(what, given)
    wanted = list(sizes.values())
    if array.ndim != len(wanted) or any(size not in (None, found) for size, found in zip(wanted, array.shape)):
        expected = ", ".join(name if size is None else f"{name}={size}" for name, size in sizes.items())
        raise InputError(f"{what}: expected shape [{expected}], found {list(array.shape)}")
    return array
