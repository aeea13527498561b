//! How every command ends: with text on stdout, or with a failure.

use std::io::Write;

/// The error that stopped a command. It is told in one line, which says what to do next.
pub type Failure = Box<dyn std::error::Error>;

/// Writes to stdout. A reader that has gone away is an error, which `main` forgives.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
