//! The parts of every download: how a server is asked, and how its bytes reach a file.

use std::io::{Read, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use ureq::{Agent, Body};

use crate::output::Failure;

/// Bytes between two steps of the progress bar.
const STEP: usize = 1 << 18;

/// A client that gives up on a server that does not answer.
pub fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(true)
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .user_agent(concat!("cmm/", env!("CARGO_PKG_VERSION")))
        .build();
    Agent::new_with_config(config)
}

/// Copies an answer to `target` with a progress bar. If a length is known, another length is an error.
pub fn copy(
    body: &mut Body,
    length: Option<u64>,
    name: &str,
    target: &mut dyn Write,
) -> Result<(), Failure> {
    let progress = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let style = "{msg} {bar:30} {bytes}/{total_bytes}, {eta} left";
    progress.set_style(ProgressStyle::with_template(style)?);
    progress.set_message(crate::shown::shown(name).into_owned());
    let copied = copy_bytes(body, length, target, &progress);
    progress.finish_and_clear();
    let done = copied?;
    match length {
        Some(length) if done > length => {
            Err(format!("more bytes came than the expected {length}").into())
        }
        Some(length) if done < length => Err(format!("{done} bytes came of {length}").into()),
        _ => Ok(()),
    }
}

fn copy_bytes(
    body: &mut Body,
    length: Option<u64>,
    target: &mut dyn Write,
    progress: &ProgressBar,
) -> std::io::Result<u64> {
    // One byte more than is expected shows that there are more.
    let most = length.map_or(u64::MAX, |length| length.saturating_add(1));
    let mut source = body.with_config().limit(u64::MAX).reader().take(most);
    let mut buffer = vec![0; STEP];
    let mut done = 0;
    loop {
        let count = source.read(&mut buffer)?;
        if count == 0 {
            return Ok(done);
        }
        target.write_all(&buffer[..count])?;
        done += count as u64;
        progress.set_position(done);
    }
}
