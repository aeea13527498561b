//! Which buffer each slot of a plan lies in: slots that are never needed at once share one.

use crate::plan::{Plan, Rows, Slot, SlotId, Step};

/// Buffers for a plan's slots.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    /// The buffer of each slot.
    pub(crate) of: Vec<usize>,
    /// What each buffer's rows belong to, and bytes of a row.
    pub(crate) buffers: Vec<(Rows, usize)>,
}

impl Memory {
    /// Shares buffers among slots of these sizes: a slot lives from the first step that writes it to the last that reads it or adds to it; the
    /// result's until the end.
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
            // What is written finds its place while what is read still has its own.
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

    /// A free buffer for a slot: the smallest that holds it, or the largest, which grows, or a new one.
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
