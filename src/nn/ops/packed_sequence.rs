//! Sequences of different lengths without padding: rows packed by time step.

use std::ops::Range;

/// The layout of sequences of different lengths packed in one matrix.
///
/// The sequences are sorted by length, longest first. Row 0 and those after it hold the first time step of
/// every sequence, then come the second steps of those that have one, and so on: the layout of PyTorch's
/// `PackedSequence`. Nothing is ever computed for a padded token, and the rows of one time step are
/// contiguous, so a recurrent step is a product of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedSequence {
    live: Vec<usize>,
    offsets: Vec<usize>,
}

impl PackedSequence {
    /// From the lengths of the sequences, longest first.
    ///
    /// # Panics
    /// If the lengths increase anywhere, or one of them is zero.
    pub fn new(lengths: &[usize]) -> Self {
        assert!(
            lengths.is_sorted_by(|a, b| a >= b),
            "sequences must be sorted by length, longest first"
        );
        assert!(
            lengths.iter().all(|&length| length > 0),
            "a sequence needs at least one step"
        );
        let steps = lengths.first().copied().unwrap_or(0);
        let live: Vec<usize> = (0..steps)
            .map(|step| lengths.partition_point(|&length| length > step))
            .collect();
        let offsets = live
            .iter()
            .scan(0, |rows, &live| {
                let offset = *rows;
                *rows += live;
                Some(offset)
            })
            .collect();
        Self { live, offsets }
    }

    /// The number of time steps of the longest sequence.
    pub fn steps(&self) -> usize {
        self.live.len()
    }

    /// The number of sequences.
    pub fn sequences(&self) -> usize {
        self.live.first().copied().unwrap_or(0)
    }

    /// The number of rows: all steps of all sequences.
    pub fn rows(&self) -> usize {
        self.live.iter().sum()
    }

    /// How many sequences run at each step.
    pub fn heights(&self) -> &[usize] {
        &self.live
    }

    /// How many sequences still run at `step`.
    pub fn live(&self, step: usize) -> usize {
        self.live[step]
    }

    /// The rows that hold `step`.
    pub fn rows_at(&self, step: usize) -> Range<usize> {
        self.offsets[step]..self.offsets[step] + self.live[step]
    }

    /// The same sequences with one more step, before all others.
    pub fn with_step_before(&self) -> Self {
        let first = self.sequences();
        let live = std::iter::once(first).chain(self.live.iter().copied()).collect();
        let offsets = std::iter::once(0)
            .chain(self.offsets.iter().map(|offset| offset + first))
            .collect();
        Self { live, offsets }
    }

    /// At most `count` runs of neighboring sequences that have about equally many rows each.
    pub(crate) fn runs(&self, count: usize) -> Vec<Range<usize>> {
        let share = self.rows().div_ceil(count.max(1));
        let mut runs = Vec::with_capacity(count);
        let (mut first, mut rows) = (0, 0);
        for sequence in 0..self.sequences() {
            rows += self.live.partition_point(|&live| live > sequence);
            if rows >= share * (runs.len() + 1) || sequence + 1 == self.sequences() {
                runs.push(first..sequence + 1);
                first = sequence + 1;
            }
        }
        runs
    }

    /// The rows that hold `step` of the sequences of `run`.
    pub(crate) fn rows_of_run(&self, run: &Range<usize>, step: usize) -> Range<usize> {
        let rows = self.rows_at(step);
        let row_of = |sequence: usize| rows.start + sequence.min(rows.len());
        row_of(run.start)..row_of(run.end)
    }

    /// Cuts packed values, `width` for each row, into what belongs to each of `runs`, which cover all sequences: a
    /// slice for every step, an empty one where the run has ended.
    pub(crate) fn split<'a>(
        &self,
        runs: &[Range<usize>],
        mut values: &'a mut [f32],
        width: usize,
    ) -> Vec<Vec<&'a mut [f32]>> {
        let mut parts: Vec<Vec<_>> = runs.iter().map(|_| Vec::with_capacity(self.steps())).collect();
        for step in 0..self.steps() {
            for (run, part) in runs.iter().zip(&mut parts) {
                let (taken, rest) =
                    std::mem::take(&mut values).split_at_mut(self.rows_of_run(run, step).len() * width);
                part.push(taken);
                values = rest;
            }
        }
        parts
    }

    /// For every row, the sequence it belongs to.
    pub fn sequence_of_rows(&self) -> Vec<usize> {
        self.live.iter().flat_map(|&live| 0..live).collect()
    }

    /// Lays sequences out in packed order. They must have the lengths this packing was made from.
    pub fn pack<T: Copy>(&self, sequences: &[impl AsRef<[T]>]) -> Vec<T> {
        let mut rows = Vec::with_capacity(self.rows());
        for (step, &live) in self.live.iter().enumerate() {
            rows.extend(sequences[..live].iter().map(|sequence| sequence.as_ref()[step]));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn three_sequences() {
        let packing = PackedSequence::new(&[3, 2, 2]);
        assert_eq!(
            packing.pack(&[vec![1, 2, 3], vec![4, 5], vec![6, 7]]),
            [1, 4, 6, 2, 5, 7, 3]
        );
        assert_eq!(packing.rows_at(1), 3..6);
        assert_eq!(packing.sequence_of_rows(), [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(packing.with_step_before(), PackedSequence::new(&[4, 3, 3]));
    }

    proptest! {
        #[test]
        fn every_element_is_packed_once(mut lengths in proptest::collection::vec(1usize..9, 0..12)) {
            lengths.sort_by(|a, b| b.cmp(a));
            let packing = PackedSequence::new(&lengths);
            let sequences: Vec<Vec<(usize, usize)>> =
                lengths.iter().enumerate().map(|(i, &n)| (0..n).map(|t| (i, t)).collect()).collect();
            let packed = packing.pack(&sequences);
            prop_assert_eq!(packed.len(), lengths.iter().sum::<usize>());
            for step in 0..packing.steps() {
                for (row, sequence) in packing.rows_at(step).zip(0..) {
                    prop_assert_eq!(packed[row], (sequence, step));
                }
            }
            for count in 1..4 {
                let runs = packing.runs(count);
                prop_assert!(runs.len() <= count);
                let mut values: Vec<f32> = (0..packing.rows()).map(|row| row as f32).collect();
                let parts = packing.split(&runs, &mut values, 1);
                for (run, part) in runs.iter().zip(parts) {
                    for (step, rows) in part.iter().enumerate() {
                        let of_run = packed.iter().enumerate().filter(|(_, (sequence, at))| *at == step && run.contains(sequence));
                        prop_assert!(rows.iter().copied().eq(of_run.map(|(row, _)| row as f32)));
                    }
                }
                prop_assert_eq!(runs.into_iter().flatten().count(), lengths.len());
            }
            let mut sorted = packed.clone();
            sorted.sort_unstable();
            sorted.dedup();
            prop_assert_eq!(sorted.len(), packed.len());
        }
    }
}
