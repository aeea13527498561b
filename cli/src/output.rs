//! What every command ends in: text on stdout, or a failure.

use std::io::Write;

/// What stopped a command: one line, what to do next.
pub type Failure = Box<dyn std::error::Error>;

/// Writes to stdout; a reader that has gone away is an error that `main` forgives.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
