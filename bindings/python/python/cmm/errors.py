"""The exceptions of this package. Each says what was expected and what was found."""


class Error(Exception):
    """The base class of all exceptions of this package."""


class InputError(Error, ValueError):
    """The caller's input cannot be used: a text, an array, its shape, a NaN, or a choice that does
    not exist.
    """


class InputTypeError(InputError, TypeError):
    """The caller's input has the wrong type."""


class ConfigError(Error, ValueError):
    """A model's files are malformed, lack something, or ask for something that is not implemented."""


class FileError(Error, OSError):
    """A file cannot be read."""


class DeviceError(Error, RuntimeError):
    """No adapter fits, or the device lacks something, was lost, or refused an operation."""


class DeviceMemoryError(DeviceError, MemoryError):
    """The device has no memory left, or does not allow a buffer that large."""
