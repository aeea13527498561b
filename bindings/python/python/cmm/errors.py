"""The exceptions of this package; each says what was expected and what was found."""


class Error(Exception):
    """Base of all of them."""


class InputError(Error, ValueError):
    """What a caller brought cannot be used: a text, an array, its shape, a NaN, a choice that does not exist."""


class InputTypeError(InputError, TypeError):
    """It is of another type than what is asked for."""


class ConfigError(Error, ValueError):
    """A model's files are malformed, lack something, or ask for what is not implemented."""


class FileError(Error, OSError):
    """A file cannot be read."""


class DeviceError(Error, RuntimeError):
    """No adapter fits, or the device lacks something, was lost, or refused."""


class DeviceMemoryError(DeviceError, MemoryError):
    """The device has no memory left, or allows no buffer so large."""
