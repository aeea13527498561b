//! Errors as the page gets them: a kind, for which it has a message and a way on, and the library's own words.

use cmm::Error;
use wasm_bindgen::JsValue;

/// What failed.
#[derive(Debug)]
pub struct Failure {
    kind: &'static str,
    message: String,
}

impl Failure {
    /// Something that the visitor gave is not usable.
    pub fn input(message: impl Into<String>) -> Self {
        Self { kind: "input", message: message.into() }
    }

    /// A call that needs the model, before it is loaded.
    pub fn no_model() -> Self {
        Self::input("the model is not loaded yet")
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::NoAdapter { .. } => "no-adapter",
            Error::DeviceLost { .. } => "lost",
            Error::OutOfMemory { .. } | Error::TooLarge { .. } => "memory",
            Error::Unsupported { .. } => "unsupported",
            Error::Checkpoint { .. } | Error::MissingTensor { .. } | Error::Io { .. } => "file",
            Error::Shape { .. }
            | Error::Config { .. }
            | Error::Input { .. }
            | Error::MissingHead { .. }
            | Error::Value { .. }
            | Error::Tokenizer { .. } => "input",
            _ => "gpu",
        };
        Self { kind, message: error.to_string() }
    }
}

impl From<Failure> for JsValue {
    fn from(failure: Failure) -> Self {
        let error = js_sys::Error::new(&failure.message);
        error.set_name(failure.kind);
        error.into()
    }
}
