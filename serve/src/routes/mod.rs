//! The routes, in one file for each family of clients.

pub(crate) mod cohere;
pub(crate) mod ollama;
pub(crate) mod openai;
pub(crate) mod search;
pub(crate) mod tei;
pub(crate) mod tei_status;
