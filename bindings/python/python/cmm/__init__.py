"""Sentence encoders and fast feedforward (FFF) layers on any GPU through wgpu, and on the CPU.

`SentenceTransformer` and `CrossEncoder` have the interface of sentence-transformers. `FffLayer`
runs a single layer on numpy arrays. Adapters for other libraries are modules of their own, which
you import if you need them: `cmm.langchain`, `cmm.llama_index`, `cmm.haystack`, `cmm.ray`.
"""

from cmm.cross_encoder import CrossEncoder
from cmm.devices import Adapter, adapters
from cmm.errors import ConfigError, DeviceError, DeviceMemoryError, Error, FileError, InputError, InputTypeError
from cmm.layer import FffLayer
from cmm.sentence_transformer import SentenceTransformer

__version__ = "0.1.0"

__all__ = [
    "Adapter",
    "ConfigError",
    "CrossEncoder",
    "DeviceError",
    "DeviceMemoryError",
    "Error",
    "FffLayer",
    "FileError",
    "InputError",
    "InputTypeError",
    "SentenceTransformer",
    "adapters",
]
