//! Values of single steps that stand far above what is usual just before them.

use std::collections::VecDeque;

/// How many of the latest values the usual one is the median of.
const USUAL_OF: usize = 63;
/// Fewer values tell nothing of what is usual.
const LEAST_VALUES: usize = 32;
/// Jumps are remembered for so many steps.
const REMEMBERED: u64 = 1_000;

/// When a value counts as a jump: above `factor` times the usual one and `margin`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Threshold {
    pub(super) factor: f32,
    pub(super) margin: f32,
}

/// A value far above what was usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Jump {
    pub(super) step: u64,
    pub(super) value: f32,
    pub(super) usual: f32,
}

/// The jumps of a value that every step has, among the latest steps.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Jumps {
    threshold: Threshold,
    recent: RecentValues,
    found: VecDeque<Jump>,
}

impl Jumps {
    pub(super) fn new(threshold: Threshold) -> Self {
        Self {
            threshold,
            recent: RecentValues::default(),
            found: VecDeque::new(),
        }
    }

    /// Takes the next step into account.
    pub(super) fn count(&mut self, step: u64, value: f32) {
        if let Some(usual) = self.recent.median()
            && is_above(value, self.threshold.factor * usual + self.threshold.margin)
        {
            self.found.push_back(Jump { step, value, usual });
        }
        while self
            .found
            .front()
            .is_some_and(|jump| jump.step + REMEMBERED < step)
        {
            self.found.pop_front();
        }
        self.recent.push(value);
    }

    /// Forgets all that came after a step.
    pub(super) fn forget_after(&mut self, step: u64) {
        self.found.retain(|jump| jump.step <= step);
        self.recent = RecentValues::default();
    }

    /// The latest ones, the last one last.
    pub(super) fn found(&self) -> &VecDeque<Jump> {
        &self.found
    }
}

/// What is no number is above everything.
fn is_above(value: f32, threshold: f32) -> bool {
    value.is_nan() || value > threshold
}

/// The latest values, as they came and in order.
#[derive(Clone, Debug, Default, PartialEq)]
struct RecentValues {
    as_they_came: VecDeque<f32>,
    in_order: Vec<f32>,
}

impl RecentValues {
    fn push(&mut self, value: f32) {
        if self.as_they_came.len() == USUAL_OF
            && let Some(oldest) = self.as_they_came.pop_front()
        {
            let place = self.place(oldest);
            self.in_order.remove(place);
        }
        self.as_they_came.push_back(value);
        let place = self.place(value);
        self.in_order.insert(place, value);
    }

    /// Before the first value that is not less.
    fn place(&self, value: f32) -> usize {
        self.in_order
            .partition_point(|other| other.total_cmp(&value).is_lt())
    }

    /// The middle one; none while there are too few.
    fn median(&self) -> Option<f32> {
        (self.in_order.len() >= LEAST_VALUES).then(|| self.in_order[self.in_order.len() / 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TWICE: Threshold = Threshold {
        factor: 2.0,
        margin: 0.0,
    };

    proptest! {
        #[test]
        fn the_usual_value_is_the_median_of_the_latest(values in prop::collection::vec(-1e3_f32..1e3, 0..200)) {
            let mut recent = RecentValues::default();
            for (at, &value) in values.iter().enumerate() {
                recent.push(value);
                let mut latest = values[(at + 1).saturating_sub(USUAL_OF)..=at].to_vec();
                latest.sort_by(f32::total_cmp);
                let expected = (latest.len() >= LEAST_VALUES).then(|| latest[latest.len() / 2]);
                prop_assert_eq!(recent.median(), expected);
            }
        }
    }

    #[test]
    fn a_jump_is_seen_remembered_for_a_while_and_forgotten() {
        let mut jumps = Jumps::new(TWICE);
        for step in 1..=2_000 {
            jumps.count(step, if step == 100 || step == 600 { 2.5 } else { 1.0 });
            let expected = match step {
                ..100 => 0,
                100..600 => 1,
                600..=1_100 => 2,
                1_101..=1_600 => 1,
                _ => 0,
            };
            assert_eq!(jumps.found().len(), expected, "step {step}");
        }
    }

    #[test]
    fn the_first_values_and_what_is_just_below_the_threshold_are_no_jumps() {
        let mut jumps = Jumps::new(TWICE);
        for step in 1..LEAST_VALUES as u64 {
            jumps.count(step, if step == 20 { 100.0 } else { 1.0 });
        }
        jumps.count(40, 2.0);
        assert!(jumps.found().is_empty());
        jumps.count(41, f32::NAN);
        assert_eq!(jumps.found().len(), 1);
    }

    #[test]
    fn what_came_after_a_step_is_forgotten() {
        let mut jumps = Jumps::new(TWICE);
        for step in 1..=300 {
            jumps.count(step, if step % 100 == 0 { 9.0 } else { 1.0 });
        }
        jumps.forget_after(250);
        let steps: Vec<u64> = jumps.found().iter().map(|jump| jump.step).collect();
        assert_eq!(steps, [100, 200]);
    }
}
