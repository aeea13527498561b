//! Assigns a buffer to each slot of a plan. Slots that are never needed at once share one.

use crate::plan::{Plan, Rows, Slot, SlotId, Step};

/// The buffers of a plan's slots.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    /// The buffer of each slot.
    pub(crate) of: Vec<usize>,
    /// For each buffer, the kind of its rows and the bytes of a row.
    pub(crate) buffers: Vec<(Rows, usize)>,
}

impl Memory {
    /// Shares buffers among slots of these sizes. A slot lives from the first step that writes it
    /// to the last one that reads it or adds to it; the slots of the result live until the end.
    pub(crate) fn new(plan: &Plan, row_bytes: impl Fn(&Slot) -> usize) -> Self {
        let used = |step: &Step, slot: SlotId| {
            step.reads == Some(slot) || step.adds == Some(slot) || step.writes.contains(&slot)
        };
        let last = |slot: SlotId| match plan.results.contains(&slot) {
            true => usize::MAX,
            false => plan.steps.iter().rposition(|step| used(step, slot)).unwrap_or(0),
        };
        let ends: Vec<usize> = (0..plan.slots.len()).map(last).collect();
        let mut memory = Self { of: vec![usize::MAX; plan.slots.len()], buffers: Vec::new() };
        let mut free: Vec<usize> = Vec::new();
        for (place, step) in plan.steps.iter().enumerate() {
            // Slots that are written get a buffer while the slot that is read still has its own.
            for slot in &step.writes {
                if memory.of[*slot] == usize::MAX {
                    memory.of[*slot] = memory.take(&mut free, &plan.slots[*slot], &row_bytes);
                }
            }
            let ended = (0..plan.slots.len()).filter(|slot| ends[*slot] == place);
            free.extend(ended.filter(|slot| used(step, *slot)).map(|slot| memory.of[slot]));
        }
        memory
    }

    /// Takes a free buffer for a slot: the smallest that holds it, or else the largest, which
    /// grows, or else a new one.
    fn take(
        &mut self,
        free: &mut Vec<usize>,
        slot: &Slot,
        row_bytes: impl Fn(&Slot) -> usize,
    ) -> usize {
        let bytes = row_bytes(slot);
        let fitting = |buffer: &usize| self.buffers[*buffer].0 == slot.rows;
        let size = |buffer: &usize| self.buffers[*buffer].1;
        let holding =
            free.iter().filter(|b| fitting(b) && size(b) >= bytes).min_by_key(|b| size(b));
        let largest = || free.iter().filter(|b| fitting(b)).max_by_key(|b| size(b));
        match holding.or_else(largest).copied() {
            Some(buffer) => {
                free.retain(|other| *other != buffer);
                self.buffers[buffer].1 = size(&buffer).max(bytes);
                buffer
            }
            None => {
                self.buffers.push((slot.rows, bytes));
                self.buffers.len() - 1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::Precision;
    use crate::fff::FffForm;
    use crate::model::{EncoderConfig, Family, Ffn, Head, Output, Pooler};
    use crate::plan::{Facts, HeadFacts, Op, Target};

    /// Returns plans of every kind of encoder to every kind of output.
    fn plans() -> Vec<Plan> {
        let masked = HeadFacts::MaskedLm { transform: true };
        let classifier = HeadFacts::Classifier { mapped: 8, classes: 3 };
        let pooled = Output::Pooled { pooler: Pooler::Max, normalized: true };
        let mut plans = Vec::new();
        for family in [Family::Bert, Family::CrammedBert] {
            let form = FffForm::Published;
            for ffn in [Ffn::Dense { width: 12 }, Ffn::Fff { trees: 1, depth: 2, form }] {
                for activations in [Precision::F32, Precision::F16] {
                    for (head, output) in [
                        (&masked, Output::Tokens(Vec::new())),
                        (&classifier, Output::Classes),
                        (&classifier, pooled.clone()),
                        (&masked, Output::Hidden),
                    ] {
                        let mut config = EncoderConfig::new(family, 3, 8, 2, ffn);
                        config.head = Head::Classifier { pooler: Pooler::Avg };
                        let facts = Facts { scales: vec![0.5; 3], head: head.clone() };
                        let target = Target { activations, head: 4, vocabulary: vec![0..8, 8..10] };
                        for paths in [false, true] {
                            plans
                                .push(Plan::new(&config, &facts, &target, &output, paths).unwrap());
                        }
                        let missing = Facts { head: HeadFacts::None, ..facts };
                        let needs = matches!(output, Output::Tokens(_) | Output::Classes);
                        let plan = Plan::new(&config, &missing, &target, &output, false);
                        assert_eq!(plan.is_err(), needs);
                    }
                }
            }
        }
        plans
    }

    /// A slot keeps its values until nobody needs them any more. In this run every buffer remembers
    /// whose values it has.
    #[test]
    fn no_slot_loses_what_it_holds_before_it_is_read() {
        for plan in plans() {
            let memory = Memory::new(&plan, Slot::row_bytes);
            assert!(memory.buffers.len() < plan.slots.len(), "slots share buffers");
            let mut holds: Vec<Option<SlotId>> = vec![None; memory.buffers.len()];
            for step in &plan.steps {
                for slot in step.reads.iter().chain(&step.adds) {
                    assert_eq!(holds[memory.of[*slot]], Some(*slot), "{step:?}");
                }
                for slot in &step.writes {
                    let (rows, bytes) = memory.buffers[memory.of[*slot]];
                    assert!(
                        rows == plan.slots[*slot].rows && bytes >= plan.slots[*slot].row_bytes()
                    );
                    // A kernel may not read the buffer that it writes.
                    let read = step.reads.map(|slot| memory.of[slot]);
                    assert_ne!(read, Some(memory.of[*slot]), "{step:?}");
                    holds[memory.of[*slot]] = Some(*slot);
                }
                let several = matches!(step.op, Op::Norm { .. } | Op::Fff { .. });
                assert!(step.writes.len() == 1 || several, "{step:?}");
            }
            for slot in &plan.results {
                assert_eq!(holds[memory.of[*slot]], Some(*slot));
            }
        }
    }
}
