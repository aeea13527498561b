//! Times work on a device: many dispatches in one pass, by GPU timestamps and by the host's clock.

use serde::{Deserialize, Serialize};
use web_time::Instant;

use crate::bench::Stats;
use crate::error::Result;
use crate::gpu::{Buffer, Capabilities, Gpu, Readback, Timer};

/// How much work a measurement may take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// Samples of each row.
    pub samples: usize,
    /// Seconds that a sample's pass should take; browsers round timestamps to 100 us.
    pub pass_seconds: f64,
    /// Seconds of work before anything is measured, because an idle device takes a while to raise
    /// its clocks.
    pub warm_seconds: f64,
    /// The most dispatches in a pass.
    pub most_dispatches: usize,
    /// Seconds after which a row has enough samples, once it has at least three.
    pub row_seconds: f64,
    /// Bytes of the buffers with which memory is measured.
    pub copy_bytes: u64,
}

impl Effort {
    /// The effort for numbers that are to be published.
    pub const FULL: Self = Self {
        samples: 30,
        pass_seconds: 4e-3,
        warm_seconds: 0.4,
        most_dispatches: 400,
        row_seconds: 2.0,
        copy_bytes: 512 << 20,
    };
    /// The effort for a first impression, and for software adapters.
    pub const QUICK: Self = Self {
        samples: 5,
        pass_seconds: 1e-3,
        warm_seconds: 0.0,
        most_dispatches: 40,
        row_seconds: 0.2,
        copy_bytes: 16 << 20,
    };

    /// Returns the effort for a first impression of a device: [`Effort::QUICK`], but with as much
    /// time as [`Effort::FULL`] to raise the clocks where the adapter is not one in software. An
    /// H200 that had been idle was measured up to four times too slow without it.
    pub fn quick(device: &Capabilities) -> Self {
        match device.software {
            true => Self::QUICK,
            false => Self { warm_seconds: Self::FULL.warm_seconds, ..Self::QUICK },
        }
    }
}

/// The source of a row's seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Timing {
    /// GPU timestamps around the pass.
    Timestamps,
    /// The host's clock. The device has no timestamps, or the row ran on the host.
    Wall,
}

/// The times of one run of the work.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Times {
    pub(crate) timing: Timing,
    /// Seconds by the clock that `timing` names.
    pub(crate) seconds: Stats,
    /// Seconds from submission until the host knows that the pass is done, divided by its runs.
    pub(crate) wall: Stats,
    /// Runs in a pass.
    pub(crate) dispatches: usize,
}

/// A clock for passes on a device.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    timer: Option<Timer>,
    done: (Buffer, Readback),
}

impl Stopwatch {
    pub(crate) async fn new(gpu: &Gpu) -> Result<Self> {
        let timer = if gpu.capabilities().timestamps { Some(Timer::new(gpu).await?) } else { None };
        let done = gpu.buffer("done", 4, wgpu::BufferUsages::COPY_SRC).await?;
        Ok(Self { timer, done: (done, Readback::new(gpu, "done", 4).await?) })
    }

    /// Returns the seconds of a pass of `dispatches` runs, by the GPU and by the host.
    async fn pass(
        &self,
        gpu: &Gpu,
        dispatches: usize,
        record: &impl Fn(&mut wgpu::ComputePass<'static>, usize),
    ) -> Result<(f64, f64)> {
        let runs = |pass: &mut wgpu::ComputePass<'static>| {
            (0..dispatches).for_each(|i| record(pass, i));
        };
        let start = Instant::now();
        if let Some(timer) = &self.timer {
            let timed = |pass: &mut wgpu::ComputePass<'static>| {
                runs(pass);
                Ok(())
            };
            let seconds = timer.time(gpu, timed).await?;
            return Ok((seconds, start.elapsed().as_secs_f64()));
        }
        let (source, readback) = &self.done;
        gpu.scoped("timed pass", || {
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default()).forget_lifetime();
            runs(&mut pass);
            drop(pass);
            readback.record(&mut encoder, source, 4);
            gpu.queue().submit([encoder.finish()]);
        })
        .await?;
        readback.read(gpu, 4, |_| ()).await?;
        let seconds = start.elapsed().as_secs_f64();
        Ok((seconds, seconds))
    }

    /// Measures one run of the work that `record` records. `record` is told how many runs came
    /// before it in the pass.
    pub(crate) async fn measure(
        &self,
        gpu: &Gpu,
        effort: Effort,
        record: impl Fn(&mut wgpu::ComputePass<'static>, usize),
    ) -> Result<Times> {
        self.pass(gpu, 1, &record).await?;
        let begun = Instant::now();
        let (once, once_on_host) = self.pass(gpu, 1, &record).await?;
        let wanted = (effort.pass_seconds / once.max(1e-9)).ceil();
        let mut dispatches = (wanted as usize).clamp(1, effort.most_dispatches);
        // Many runs in a row are faster than a single one, so the number of runs is chosen again.
        if dispatches > 1 {
            let (pass, _) = self.pass(gpu, dispatches, &record).await?;
            let wanted = effort.pass_seconds * dispatches as f64 / pass.max(1e-9);
            dispatches = (wanted.ceil() as usize).clamp(1, effort.most_dispatches);
        }
        while begun.elapsed().as_secs_f64() < effort.warm_seconds {
            self.pass(gpu, dispatches, &record).await?;
        }
        let (mut seconds, mut wall) = (Vec::new(), Vec::new());
        if dispatches == 1 {
            (seconds, wall) = (vec![once], vec![once_on_host]);
        }
        while seconds.len() < effort.samples
            && (seconds.len() < 3 || begun.elapsed().as_secs_f64() < effort.row_seconds)
        {
            let (on_gpu, on_host) = self.pass(gpu, dispatches, &record).await?;
            seconds.push(on_gpu / dispatches as f64);
            wall.push(on_host / dispatches as f64);
        }
        let timing = if self.timer.is_some() { Timing::Timestamps } else { Timing::Wall };
        Ok(Times { timing, seconds: Stats::new(seconds), wall: Stats::new(wall), dispatches })
    }
}
