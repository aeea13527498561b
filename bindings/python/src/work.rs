//! Long work: in a pool of threads, without Python's lock, and ended by Ctrl-C.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use cmm::Device;
use pyo3::prelude::*;

use crate::errors::exception;

/// How often signals are looked for, and progress is told.
const LOOK: Duration = Duration::from_millis(50);
/// How often a thread looks whether it is its turn.
const TURN: Duration = Duration::from_millis(2);

/// Where a model or layer computes: threads of its own, or those that all share.
pub struct Threads {
    own: Option<rayon::ThreadPool>,
    /// The process that started them: one that was forked from it has none.
    process: u32,
    /// Whose turn it is, where the device serves one thread at a time.
    turn: Option<Mutex<()>>,
}

impl Threads {
    /// So many threads of its own; none: those that rayon starts once in a process, one a core unless `RAYON_NUM_THREADS` says otherwise.
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

    /// For a device: those of GL have a context, for which a second thread waits a second and then panics.
    pub fn serving(mut self, device: &Device) -> Self {
        let is_gl = |gpu: &cmm::Gpu| gpu.info().backend == cmm::wgpu::Backend::Gl;
        self.turn = matches!(device, Device::Gpu(gpu) if is_gl(gpu)).then(Mutex::default);
        self
    }

    /// Waits until it is this thread's turn, without Python's lock. It is the thread that calls which waits, not one of the pool: that could take
    /// up other work meanwhile, which waits too.
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

    /// Runs `work` on these threads without Python's lock. Meanwhile signals are handled, and `progress` is told what is done; an exception of
    /// either ends the work after its batch, and is raised.
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
                    // The work panicked, which the scope passes on.
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

/// What work and those who wait for it tell each other.
#[derive(Default)]
pub struct Watch {
    stop: AtomicBool,
    done: AtomicUsize,
}

impl Watch {
    /// Whether nobody waits for the rest.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// So many more are done.
    pub fn add(&self, done: usize) {
        self.done.fetch_add(done, Ordering::Relaxed);
    }
}
