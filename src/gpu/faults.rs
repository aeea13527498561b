//! Errors that no error scope caught, kept for the thread that caused them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::thread::{ThreadId, current};

/// Threads whose faults are kept. If there are more, the oldest fault is forgotten (it has been
/// logged).
const MOST: usize = 64;

/// An error that no error scope caught.
#[derive(Debug)]
pub(crate) enum Fault {
    OutOfMemory,
    Other(String),
}

/// The first fault of each thread since that thread last asked. wgpu reports a fault on the thread
/// whose call caused it, so no thread hears of another's.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<VecDeque<(ThreadId, Fault)>>);

impl Faults {
    /// Keeps a fault of this thread, unless the thread has one already.
    pub(crate) fn keep(&self, fault: Fault) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = current().id();
        if faults.iter().any(|(of, _)| *of == thread) {
            return;
        }
        if faults.len() == MOST {
            faults.pop_front();
        }
        faults.push_back((thread, fault));
    }

    /// Takes the fault of this thread.
    pub(crate) fn take(&self) -> Option<Fault> {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = current().id();
        let place = faults.iter().position(|(of, _)| *of == thread)?;
        faults.remove(place).map(|(_, fault)| fault)
    }
}
