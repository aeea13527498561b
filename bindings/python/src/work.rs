//! Runs long work in a pool of threads, without Python's lock. Ctrl-C ends it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use cmm::Device;
use pyo3::prelude::*;

use crate::errors::exception;

/// The time between two checks for signals and two reports of progress.
const LOOK: Duration = Duration::from_millis(50);
/// The time between two checks of a thread whether it is its turn.
const TURN: Duration = Duration::from_millis(2);

/// The threads on which a model or layer computes: its own, or those that all share.
pub struct Threads {
    own: Option<rayon::ThreadPool>,
    /// The process that started the threads. A process that was forked from it does not have them.
    process: u32,
    /// The lock that takes turns, if the device serves one thread at a time.
    turn: Option<Mutex<()>>,
}

impl Threads {
    /// Starts `number` threads of its own. `None` means those that rayon starts once in a process:
    /// one per core, unless `RAYON_NUM_THREADS` says otherwise.
    pub fn new(py: Python<'_>, number: Option<usize>) -> PyResult<Self> {
        let own = match number {
            None => None,
            Some(0) => {
                return Err(exception(
                    py,
                    "InputError",
                    "threads: expected None or at least 1, found 0".into(),
                ));
            }
            Some(number) => {
                let started = rayon::ThreadPoolBuilder::new().num_threads(number).build();
                Some(started.map_err(|cause| {
                    exception(py, "Error", format!("{number} threads: {cause}"))
                })?)
            }
        };
        Ok(Self { own, process: std::process::id(), turn: None })
    }

    /// Prepares for a device. GL devices have a context for which a second thread waits a second
    /// and then panics, so they serve one thread at a time.
    pub fn serving(mut self, device: &Device) -> Self {
        let is_gl = |gpu: &cmm::Gpu| gpu.info().backend == cmm::wgpu::Backend::Gl;
        self.turn = matches!(device, Device::Gpu(gpu) if is_gl(gpu)).then(Mutex::default);
        self
    }

    /// Waits without Python's lock until it is this thread's turn. The calling thread waits, not
    /// one of the pool: that one could meanwhile take up other work, which would wait too.
    fn wait_for_turn(&self, py: Python<'_>) -> PyResult<Option<MutexGuard<'_, ()>>> {
        let Some(turn) = &self.turn else { return Ok(None) };
        loop {
            match turn.try_lock() {
                Ok(turn) => return Ok(Some(turn)),
                Err(TryLockError::Poisoned(turn)) => return Ok(Some(turn.into_inner())),
                Err(TryLockError::WouldBlock) => py.detach(|| std::thread::sleep(TURN)),
            }
            py.check_signals()?;
        }
    }

    /// Runs `work` on these threads without Python's lock. Meanwhile it handles signals and reports
    /// to `progress`. An exception from either ends the work after the current batch, and is
    /// raised.
    pub fn run<T: Send>(
        &self,
        py: Python<'_>,
        progress: Option<&Bound<'_, PyAny>>,
        work: impl FnOnce(&Watch) -> T + Send,
    ) -> PyResult<T> {
        if self.process != std::process::id() {
            let message = "this process was forked after the model or layer was loaded, and its threads and devices stayed behind: load it in the new \
                           process, or start that by multiprocessing's \"spawn\"";
            return Err(exception(py, "DeviceError", message.into()));
        }
        let _turn = self.wait_for_turn(py)?;
        let watch = Watch::default();
        let (send, mut receive) = sync_channel(1);
        let work = || {
            let _ = send.send(work(&watch));
        };
        let mut wait = || {
            let mut ended_by = None;
            loop {
                let receive = &mut receive;
                match py.detach(move || receive.recv_timeout(LOOK)) {
                    Ok(result) => return ended_by.map_or(Ok(result), Err),
                    Err(RecvTimeoutError::Timeout) if ended_by.is_some() => {}
                    Err(RecvTimeoutError::Timeout) => {
                        let told = py.check_signals().and_then(|()| match progress {
                            Some(progress) => {
                                progress.call1((watch.done.load(Ordering::Relaxed),)).map(drop)
                            }
                            None => Ok(()),
                        });
                        if let Err(exception) = told {
                            watch.stop.store(true, Ordering::Relaxed);
                            ended_by = Some(exception);
                        }
                    }
                    // The work panicked, and the scope passes the panic on.
                    Err(RecvTimeoutError::Disconnected) => {
                        return Err(exception(py, "Error", "the work did not end".into()));
                    }
                }
            }
        };
        match &self.own {
            Some(pool) => pool.in_place_scope(|scope| {
                scope.spawn(|_| work());
                wait()
            }),
            None => rayon::in_place_scope(|scope| {
                scope.spawn(|_| work());
                wait()
            }),
        }
    }
}

/// The state that the work shares with those who wait for it.
#[derive(Default)]
pub struct Watch {
    stop: AtomicBool,
    done: AtomicUsize,
}

impl Watch {
    /// Returns whether nobody waits for the rest of the work.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Adds `done` to the number of finished items.
    pub fn add(&self, done: usize) {
        self.done.fetch_add(done, Ordering::Relaxed);
    }
}
