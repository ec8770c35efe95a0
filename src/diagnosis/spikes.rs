//! Spikes: values of single steps far above the running median.

use std::collections::VecDeque;

/// The median is of this many last values.
const WINDOW: usize = 63;
/// With fewer values there is no median.
const MIN_VALUES: usize = 32;
/// Older spikes are forgotten, in steps.
const MAX_AGE: u64 = 1_000;

/// A value above `factor * median + margin` is a spike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SpikeThreshold {
    pub(super) factor: f32,
    pub(super) margin: f32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spike {
    pub(super) step: u64,
    pub(super) value: f32,
    pub(super) median: f32,
}

/// Detects spikes of a per-step value, and keeps the recent ones.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SpikeDetector {
    threshold: SpikeThreshold,
    recent: RecentValues,
    spikes: VecDeque<Spike>,
}

impl SpikeDetector {
    pub(super) fn new(threshold: SpikeThreshold) -> Self {
        Self {
            threshold,
            recent: RecentValues::default(),
            spikes: VecDeque::new(),
        }
    }

    pub(super) fn add(&mut self, step: u64, value: f32) {
        if let Some(median) = self.recent.median()
            && is_above(value, self.threshold.factor * median + self.threshold.margin)
        {
            self.spikes.push_back(Spike { step, value, median });
        }
        self.spikes.retain(|spike| spike.step + MAX_AGE >= step);
        self.recent.push(value);
    }

    /// Forgets everything after a step.
    pub(super) fn forget_after(&mut self, step: u64) {
        self.spikes.retain(|spike| spike.step <= step);
        self.recent = RecentValues::default();
    }

    pub(super) fn spikes(&self) -> &VecDeque<Spike> {
        &self.spikes
    }
}

/// NaN is above everything.
fn is_above(value: f32, threshold: f32) -> bool {
    value.is_nan() || value > threshold
}

#[derive(Clone, Debug, Default, PartialEq)]
struct RecentValues {
    by_time: VecDeque<f32>,
    sorted: Vec<f32>,
}

impl RecentValues {
    fn push(&mut self, value: f32) {
        if self.by_time.len() == WINDOW
            && let Some(oldest) = self.by_time.pop_front()
        {
            let index = self.index_of(oldest);
            self.sorted.remove(index);
        }
        self.by_time.push_back(value);
        let index = self.index_of(value);
        self.sorted.insert(index, value);
    }

    fn index_of(&self, value: f32) -> usize {
        self.sorted
            .partition_point(|other| other.total_cmp(&value).is_lt())
    }

    fn median(&self) -> Option<f32> {
        (self.sorted.len() >= MIN_VALUES).then(|| self.sorted[self.sorted.len() / 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TWICE: SpikeThreshold = SpikeThreshold {
        factor: 2.0,
        margin: 0.0,
    };

    proptest! {
        #[test]
        fn median_ignores_older_values(values in prop::collection::vec(-1e3_f32..1e3, 0..200)) {
            let mut recent = RecentValues::default();
            for (i, &value) in values.iter().enumerate() {
                recent.push(value);
                let mut latest = values[(i + 1).saturating_sub(WINDOW)..=i].to_vec();
                latest.sort_by(f32::total_cmp);
                let expected = (latest.len() >= MIN_VALUES).then(|| latest[latest.len() / 2]);
                prop_assert_eq!(recent.median(), expected);
            }
        }
    }

    #[test]
    fn spikes_expire_after_max_age() {
        let mut detector = SpikeDetector::new(TWICE);
        for step in 1..=2_000 {
            detector.add(step, if step == 100 || step == 600 { 2.5 } else { 1.0 });
            let expected = match step {
                ..100 => 0,
                100..600 => 1,
                600..=1_100 => 2,
                1_101..=1_600 => 1,
                _ => 0,
            };
            assert_eq!(detector.spikes().len(), expected, "step {step}");
        }
    }

    #[test]
    fn first_values_and_threshold_are_no_spikes() {
        let mut detector = SpikeDetector::new(TWICE);
        for step in 1..MIN_VALUES as u64 {
            detector.add(step, if step == 20 { 100.0 } else { 1.0 });
        }
        detector.add(40, 2.0);
        assert!(detector.spikes().is_empty());
        detector.add(41, f32::NAN);
        assert_eq!(detector.spikes().len(), 1);
    }

    #[test]
    fn spikes_after_step_forgotten() {
        let mut detector = SpikeDetector::new(TWICE);
        for step in 1..=300 {
            detector.add(step, if step % 100 == 0 { 9.0 } else { 1.0 });
        }
        detector.forget_after(250);
        let steps: Vec<u64> = detector.spikes().iter().map(|spike| spike.step).collect();
        assert_eq!(steps, [100, 200]);
    }
}
