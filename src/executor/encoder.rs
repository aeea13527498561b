//! An encoder on a GPU.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::dtype::{Dtype, Precision, row_stride, unpadded};
use crate::error::{Result, check_finite};
use crate::executor::EncoderOptions;
use crate::executor::parts::Parts;
use crate::executor::program::Program;
use crate::executor::recording::Recording;
use crate::executor::workspace::{PICKED_UNIT, Workspace};
use crate::gpu::{Gpu, Operation, Readback, Variant};
use crate::model::{Batch, Encoded, EncoderConfig, EncoderWeights, Output, Tap};
use crate::plan::{Facts, HeadFacts, Op, Plan, Rows, SlotId, Target};

/// An encoder on a GPU.
#[derive(Debug)]
pub(crate) struct GpuEncoder {
    gpu: Gpu,
    config: EncoderConfig,
    variant: Variant,
    facts: Facts,
    target: Target,
    parts: Parts,
    /// The program that computes the hidden states.
    hidden: Arc<Program>,
    /// The programs that have been asked for so far, by output (that of tokens without its list of
    /// tokens) and by whether they keep paths.
    programs: Mutex<Vec<(Output, bool, Arc<Program>)>>,
    /// The workspaces of the last forwards, kept for the next ones.
    workspaces: Mutex<Vec<Workspace>>,
}

/// The number of workspaces that are kept. There are two, because one batch runs while the result
/// of another is read.
const KEPT: usize = 2;

/// A batch that was submitted.
pub(crate) struct Running {
    /// The work on the device; `None` if there was nothing to run.
    work: Option<Work>,
    /// The result, of which only the width is known so far.
    encoded: Encoded,
}

struct Work {
    workspace: Workspace,
    submission: wgpu::SubmissionIndex,
    tapped: Vec<Tapped>,
    /// The parts of the result.
    results: Vec<Tapped>,
}

/// A buffer on its way back to the host.
struct Tapped {
    readback: Readback,
    bytes: u64,
    width: usize,
    dtype: Dtype,
    /// The name of the stage; `None` for a path.
    name: Option<String>,
}

impl GpuEncoder {
    /// Uploads an encoder, one layer at a time.
    ///
    /// # Errors
    /// Returns errors of the checkpoint, [`Error::TooLarge`], [`Error::Unsupported`],
    /// [`Error::OutOfMemory`] or [`Error::DeviceLost`].
    pub(crate) async fn upload(
        gpu: &Gpu,
        weights: &EncoderWeights<'_>,
        options: &EncoderOptions,
    ) -> Result<Self> {
        let variant = options.resolve(gpu.capabilities(), weights.config())?;
        let config = weights.config().clone();
        let (head, head_facts) = weights.head_or_missing()?;
        let scales = (0..config.layers).map(|layer| weights.score_scale(layer));
        let facts = Facts { scales: scales.collect::<Result<_>>()?, head: head_facts };
        let row = row_stride(config.hidden) * variant.weights.precision().bytes();
        let target = Target {
            activations: options.activations,
            head: config.head_width().next_multiple_of(4),
            vocabulary: parts_of(gpu, config.vocabulary, row),
        };
        let all = match &facts.head {
            HeadFacts::MaskedLm { .. } => Output::Tokens(Vec::new()),
            HeadFacts::Classifier { .. } => Output::Classes,
            HeadFacts::None | HeadFacts::Missing(_) => Output::Hidden,
        };
        let plan = |output: &Output| Plan::new(&config, &facts, &target, output, false);
        let parts = Parts::upload(gpu, weights, &head, &plan(&all)?, variant).await?;
        let hidden = Arc::new(Program::new(gpu, plan(&Output::Hidden)?, &parts, variant)?);
        let programs = Mutex::new(vec![(Output::Hidden, false, hidden.clone())]);
        let (gpu, workspaces) = (gpu.clone(), Mutex::new(Vec::new()));
        Ok(Self { gpu, config, variant, facts, target, parts, hidden, programs, workspaces })
    }

    /// Returns the device that holds the encoder.
    pub(crate) fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Returns the encoder's configuration.
    pub(crate) fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Returns the variant that runs.
    pub(crate) fn variant(&self) -> Variant {
        self.variant
    }

    /// Returns how activations are stored between a layer's operations.
    pub(crate) fn activations(&self) -> Precision {
        self.target.activations
    }

    /// Returns the bytes that one buffer may have.
    fn most_bytes(&self) -> u64 {
        let limits = &self.gpu.capabilities().limits;
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
    }

    /// Returns the number of tokens that a batch may have on this device, with room for paths.
    pub(crate) fn max_tokens(&self) -> usize {
        let shape = self.config.ffn.shape(self.config.hidden);
        let path = shape.ok().flatten().map_or(0, |shape| 4 * shape.path_len());
        let scratch = self.hidden.operations.iter().map(Operation::scratch_row_bytes).max();
        let widest = self.hidden.widest(Rows::Tokens).max(path).max(scratch.unwrap_or(0) as usize);
        // This is far below 2^31, the number up to which kernels count.
        (self.most_bytes() / widest as u64).min(1 << 30) as usize / 256 * 256
    }

    /// Returns the number of rows of [`Output::Tokens`] that one forward may ask for on this
    /// device.
    pub(crate) fn max_rows(&self) -> usize {
        let words = self.target.vocabulary.iter().map(Range::len).max().unwrap_or(1);
        let widest = row_stride(words.max(self.config.hidden)) as u64 * 4;
        let rows = (self.most_bytes() / widest) as usize;
        if rows > PICKED_UNIT { rows / PICKED_UNIT * PICKED_UNIT } else { rows }
    }

    /// Returns the program that computes an output.
    fn program(&self, output: &Output, paths: bool) -> Result<Arc<Program>> {
        let kind = match output {
            Output::Tokens(_) => Output::Tokens(Vec::new()),
            other => other.clone(),
        };
        let programs = || self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        let known = programs().iter().find(|(of, with, _)| *of == kind && *with == paths).cloned();
        if let Some((.., program)) = known {
            return Ok(program);
        }
        let plan = Plan::new(&self.config, &self.facts, &self.target, &kind, paths)?;
        let program = Arc::new(Program::new(&self.gpu, plan, &self.parts, self.variant)?);
        programs().push((kind, paths, program.clone()));
        Ok(program)
    }

    /// Runs a batch by a single submission and reads the result back, with what `tap` asks for.
    ///
    /// # Errors
    /// Returns the errors of [`GpuEncoder::submit`] and [`GpuEncoder::finish`].
    pub(crate) async fn forward(
        &self,
        batch: &Batch,
        output: &Output,
        tap: Tap,
    ) -> Result<Encoded> {
        let running = self.submit(batch, output, tap).await?;
        self.finish(running).await
    }

    /// Submits a batch and does not wait for it.
    ///
    /// # Errors
    /// Returns [`Error::MissingHead`] if the checkpoint has no such head; [`Error::Input`] if a row
    /// is not in the batch, or if the batch was laid out for a model with other ids, positions or
    /// token types; [`Error::TooLarge`] if the batch has more than [`GpuEncoder::max_tokens`];
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`] or [`Error::Gpu`].
    pub(crate) async fn submit(&self, batch: &Batch, output: &Output, tap: Tap) -> Result<Running> {
        batch.belongs_to(&self.config)?;
        let gpu = &self.gpu;
        if let Output::Tokens(rows) = output {
            batch.holds(rows)?;
        }
        // This refuses a missing head even if the batch asks nothing of it.
        let asked = self.program(output, tap != Tap::None)?;
        let encoded = Encoded { width: asked.plan.width(), ..Encoded::default() };
        let nothing = matches!(output, Output::Tokens(rows) if rows.is_empty());
        if batch.is_empty() || (nothing && tap == Tap::None) {
            return Ok(Running { work: None, encoded });
        }
        // Where only taps are wanted, the hidden states stand in for a result without rows.
        let output = if nothing { &Output::Hidden } else { output };
        let picked: &[u32] = if let Output::Tokens(rows) = output { rows } else { &[] };
        let program = self.program(output, tap != Tap::None)?;
        let mut workspace = match self.kept(|kept| kept.holds(&program, batch, picked)) {
            Some(workspace) => workspace,
            None => Workspace::new(gpu, &program, batch, picked).await?,
        };
        workspace.choose(gpu, batch, picked).await?;
        let (tapped, mut results, submission) = gpu
            .scoped("running an encoder", || {
                workspace.write(gpu, batch, picked);
                self.record(&workspace, tap)
            })
            .await?;
        if nothing {
            results.clear();
        }
        Ok(Running { work: Some(Work { workspace, submission, tapped, results }), encoded })
    }

    /// Waits for a batch, but not for those that were submitted after it, and reads its result.
    ///
    /// # Errors
    /// Returns [`Error::Input`] if the result is not finite, [`Error::OutOfMemory`],
    /// [`Error::DeviceLost`] or [`Error::Gpu`].
    pub(crate) async fn finish(&self, running: Running) -> Result<Encoded> {
        let Running { work, mut encoded } = running;
        let Some(Work { workspace, submission, tapped, results }) = work else {
            return Ok(encoded);
        };
        let (gpu, submission) = (&self.gpu, Some(&submission));
        if !results.is_empty() {
            encoded.values = side_by_side(gpu, submission, &results).await?;
        }
        // Sums may overflow, and f16 values between operations overflow sooner.
        let result = match self.activations() {
            Precision::F32 => "the encoder's result (its sums overflowed)",
            Precision::F16 => "the encoder's result (f16 activations overflowed; try f32 ones)",
        };
        check_finite(result, &encoded.values)?;
        for stage in tapped {
            match &stage.name {
                None => encoded.paths.push(stage.nodes(gpu, submission).await?),
                Some(name) => {
                    encoded.stages.push((name.clone(), stage.values(gpu, submission).await?));
                }
            }
        }
        let mut kept = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(workspace);
        }
        Ok(encoded)
    }

    /// Takes a kept workspace that is fit. If there is none, an unfit one is dropped to make room.
    fn kept(&self, fit: impl Fn(&Workspace) -> bool) -> Option<Workspace> {
        let mut kept = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.iter().position(fit) {
            Some(place) => Some(kept.remove(place)),
            None => {
                kept.pop();
                None
            }
        }
    }

    /// Records and submits all steps. Returns the tapped buffers and the parts of the result.
    fn record(
        &self,
        workspace: &Workspace,
        tap: Tap,
    ) -> (Vec<Tapped>, Vec<Tapped>, wgpu::SubmissionIndex) {
        let plan = &workspace.program().plan;
        let mut recording = Recording::new(&self.gpu);
        let copy = |recording: &mut Recording<'_>, slot: SlotId, name: Option<String>| {
            let (buffer, bytes) = (workspace.buffer(slot), workspace.bytes(slot));
            let (width, dtype) = (plan.slots[slot].width, plan.slots[slot].dtype);
            Tapped { readback: recording.copy_out(buffer, bytes), bytes, width, dtype, name }
        };
        let mut tapped = Vec::new();
        for (index, step) in plan.steps.iter().enumerate() {
            workspace.record(recording.pass(), index);
            if let (Op::Fff { .. }, [_, path]) = (&step.op, &step.writes[..]) {
                tapped.push(copy(&mut recording, *path, None));
            }
            if let (Some(name), Tap::Stages, Some(slot)) = (&step.stage, tap, step.writes.first()) {
                tapped.push(copy(&mut recording, *slot, Some(name.clone())));
            }
        }
        let results = plan.results.iter().map(|slot| copy(&mut recording, *slot, None)).collect();
        (tapped, results, recording.submit())
    }

    /// Returns buffers that hold a batch and its results, for [`GpuEncoder::record_into`].
    pub(crate) async fn prepare(&self, batch: &Batch) -> Result<Workspace> {
        batch.belongs_to(&self.config)?;
        let workspace = Workspace::new(&self.gpu, &self.hidden, batch, &[]).await?;
        let write = || workspace.write(&self.gpu, batch, &[]);
        self.gpu.scoped("preparing an encoder", write).await?;
        Ok(workspace)
    }

    /// Records the embedding, the layers and the final norm of a prepared batch into a pass that
    /// the caller began. This is for measurements.
    pub(crate) fn record_into(&self, pass: &mut wgpu::ComputePass<'_>, workspace: &Workspace) {
        for step in 0..workspace.program().plan.steps.len() {
            workspace.record(pass, step);
        }
    }
}

/// Splits the rows of a matrix into as few parts as possible, each of which fits one binding.
fn parts_of(gpu: &Gpu, rows: usize, row_bytes: usize) -> Vec<Range<usize>> {
    // Parts are whole units of rows, so that the scores of a part need no padding.
    const UNIT: usize = 8;
    let limits = &gpu.capabilities().limits;
    let bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    let most = (bytes / row_bytes as u64) as usize / UNIT * UNIT;
    let most = most.max(UNIT);
    (0..rows).step_by(most).map(|first| first..rows.min(first + most)).collect()
}

impl Tapped {
    async fn values(
        &self,
        gpu: &Gpu,
        submission: Option<&wgpu::SubmissionIndex>,
    ) -> Result<Vec<f32>> {
        let stored = match self.dtype {
            Dtype::F16 => Precision::F16,
            Dtype::F32 | Dtype::U32 => Precision::F32,
        };
        let stride = row_stride(self.width);
        let take = |bytes: &[u8]| unpadded(bytes, self.width, stride, stored);
        self.readback.read_after(gpu, submission, self.bytes, take).await
    }

    async fn nodes(
        &self,
        gpu: &Gpu,
        submission: Option<&wgpu::SubmissionIndex>,
    ) -> Result<Vec<u32>> {
        let take = |bytes: &[u8]| {
            bytes.as_chunks::<4>().0.iter().map(|v| u32::from_le_bytes(*v)).collect()
        };
        self.readback.read_after(gpu, submission, self.bytes, take).await
    }
}

/// Reads the parts of a result back and joins them: each row is that of the first part, followed by
/// those of the others.
async fn side_by_side(
    gpu: &Gpu,
    submission: Option<&wgpu::SubmissionIndex>,
    parts: &[Tapped],
) -> Result<Vec<f32>> {
    let mut read = Vec::with_capacity(parts.len());
    for part in parts {
        read.push((part.values(gpu, submission).await?, part.width));
    }
    if read.len() == 1 {
        return Ok(read.swap_remove(0).0);
    }
    let count = read.iter().map(|(values, width)| values.len() / width).min().unwrap_or(0);
    let row = |row| read.iter().flat_map(move |(part, width)| &part[row * width..][..*width]);
    Ok((0..count).flat_map(row).copied().collect())
}
