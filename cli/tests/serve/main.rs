//! `cmm serve`, on the built binary: every route, every error, and what happens under load and at the end.

mod load;
mod malformed;
mod routes;
mod search;
mod server;
mod vectors;
