//! Errors in the form that JavaScript receives: a code, and the library's own message.

use cmm::Error;
use wasm_bindgen::JsValue;

/// An error with its code.
#[derive(Debug)]
pub struct Failure {
    code: &'static str,
    message: String,
}

impl Failure {
    /// Returns the error for an argument that is not usable.
    pub fn input(message: impl Into<String>) -> Self {
        Self { code: "input", message: message.into() }
    }

    /// Returns the error for a call that needs the model before it is loaded.
    pub fn no_model() -> Self {
        Self::input("the model is not loaded yet")
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::NoAdapter { .. } => "no-adapter",
            Error::DeviceLost { .. } => "device-lost",
            Error::OutOfMemory { .. } | Error::TooLarge { .. } => "out-of-memory",
            Error::Unsupported { .. } => "unsupported",
            Error::Checkpoint { .. } | Error::MissingTensor { .. } | Error::Io { .. } => "model",
            Error::Shape { .. }
            | Error::Config { .. }
            | Error::Input { .. }
            | Error::MissingHead { .. }
            | Error::Value { .. }
            | Error::Tokenizer { .. } => "input",
            _ => "gpu",
        };
        Self { code, message: error.to_string() }
    }
}

impl From<Failure> for JsValue {
    fn from(failure: Failure) -> Self {
        let error = js_sys::Error::new(&failure.message);
        error.set_name(failure.code);
        error.into()
    }
}
