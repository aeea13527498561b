//! Guards code of the tokenizers crate. That code indexes, unwraps and loops as a file tells it;
//! here its panics and endless loops become errors.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Result};

/// Turns a panic into an error that names the file. (The process's panic hook runs all the same.)
pub(crate) fn without_panic<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason");
        Err(failed(name, format!("the file contradicts itself: {text}")))
    })
}

/// Works like [`without_panic`], for at most `seconds`. Work that takes longer goes on in a thread
/// that nobody waits for.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn within<T: Send + 'static>(
    seconds: f64,
    name: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    use std::sync::mpsc;
    let (sender, receiver) = mpsc::channel();
    let named = name.to_owned();
    let thread = std::thread::Builder::new().name("tokenizer".into()).spawn(move || {
        let _ = sender.send(without_panic(&named, work));
    });
    thread
        .map_err(|cause| failed(name, format!("no thread could be started to read it: {cause}")))?;
    match receiver.recv_timeout(std::time::Duration::from_secs_f64(seconds)) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => {
            Err(failed(name, format!("reading and trying it takes more than {seconds} s")))
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            Err(failed(name, "the thread that read it ended".into()))
        }
    }
}

/// A browser has no second thread here, but the page can end its worker.
#[cfg(target_arch = "wasm32")]
pub(crate) fn within<T>(_: f64, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    without_panic(name, work)
}

fn failed(name: &str, reason: String) -> Error {
    Error::Tokenizer { name: name.into(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_or_hangs_is_an_error_that_names_the_file() {
        let message = |seconds, work: fn() -> Result<u32>| {
            within(seconds, "t.json", work).map_err(|error| error.to_string())
        };
        assert_eq!(message(60.0, || Ok(7)), Ok(7));
        let panicked = message(60.0, || panic!("no entry")).unwrap_err();
        assert_eq!(panicked, "t.json: the file contradicts itself: no entry");
        let hung = message(0.01, || {
            loop {
                std::thread::sleep(std::time::Duration::from_secs(3600));
            }
        });
        assert_eq!(hung.unwrap_err(), "t.json: reading and trying it takes more than 0.01 s");
    }
}
