//! Texts from the command line, from files and folders, or from stdin.

mod arguments;
mod file;
mod files;
mod surrogates;

pub use arguments::TextArguments;
pub use file::{STDIN, is_terminal};
pub use files::sources;
