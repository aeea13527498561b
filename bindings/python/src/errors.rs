//! Turns errors of the library into exceptions of `cmm.errors`.

use pyo3::prelude::*;

/// Creates an exception of this class of `cmm.errors`.
pub fn exception(py: Python<'_>, class: &str, message: String) -> PyErr {
    let made = py.import("cmm.errors").and_then(|errors| errors.getattr(class)?.call1((message,)));
    made.map_or_else(|failed| failed, PyErr::from_value)
}

/// Turns an error of the library into an exception.
pub fn raised(py: Python<'_>, error: &cmm::Error) -> PyErr {
    use cmm::Error::*;
    let class = match error {
        Shape { .. } | Input { .. } | Value { .. } | Overflow { .. } => "InputError",
        Config { .. }
        | Checkpoint { .. }
        | Tokenizer { .. }
        | MissingTensor { .. }
        | MissingHead { .. } => "ConfigError",
        Io { .. } => "FileError",
        NoAdapter { .. } | Unsupported { .. } | DeviceLost { .. } | Gpu { .. } => "DeviceError",
        OutOfMemory { .. } | TooLarge { .. } => "DeviceMemoryError",
        _ => "Error",
    };
    exception(py, class, error.to_string())
}

/// Returns the value, or raises the exception for its error.
pub fn or_raise<T>(py: Python<'_>, result: cmm::Result<T>) -> PyResult<T> {
    result.map_err(|error| raised(py, &error))
}

/// Reads one of a few words. The error lists them.
pub fn choice<T>(py: Python<'_>, what: &str, found: &str, known: &[(&str, T)]) -> PyResult<T>
where
    T: Copy,
{
    if let Some((_, value)) = known.iter().find(|(word, _)| *word == found) {
        return Ok(*value);
    }
    let words: Vec<_> = known.iter().map(|(word, _)| format!("{word:?}")).collect();
    Err(exception(
        py,
        "InputError",
        format!("{what}: expected {}, found {found:?}", words.join(" or ")),
    ))
}
