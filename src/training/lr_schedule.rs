//! The learning rate over a training.

use serde::{Deserialize, Serialize};

/// How the learning rate changes: a linear warm-up, then one of the shapes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LrSchedule {
    /// What follows the warm-up.
    pub kind: LrScheduleKind,
    /// Steps over which the rate rises from zero.
    pub warmup_steps: u64,
    /// Where a falling rate ends, as a share of the highest.
    pub min_ratio: f32,
    /// Plateau: what the rate is multiplied by.
    pub factor: f32,
    /// Plateau: epochs without a better one before that happens.
    pub patience: usize,
}

/// The course of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LrScheduleKind {
    /// Stays.
    Constant,
    /// Falls along half a cosine over the whole training (Loshchilov & Hutter 2017, equation 5).
    #[default]
    Cosine,
    /// Falls by a factor whenever the dev metric has stopped getting better.
    Plateau,
}

impl Default for LrSchedule {
    fn default() -> Self {
        Self {
            kind: LrScheduleKind::Cosine,
            warmup_steps: 200,
            min_ratio: 0.02,
            factor: 0.5,
            patience: 1,
        }
    }
}

impl LrSchedule {
    /// The share of the highest learning rate at a step of `total`, counted from zero. `reductions` counts how
    /// often a plateau was met.
    pub fn factor_at(&self, step: u64, total: u64, reductions: u32) -> f32 {
        let warmed = ((step + 1) as f32 / self.warmup_steps.max(1) as f32).min(1.0);
        let falling = match self.kind {
            LrScheduleKind::Constant => 1.0,
            LrScheduleKind::Cosine => {
                let length = total.saturating_sub(self.warmup_steps).max(1);
                let done = (step.saturating_sub(self.warmup_steps) as f32 / length as f32).min(1.0);
                self.min_ratio + (1.0 - self.min_ratio) * 0.5 * (1.0 + (std::f32::consts::PI * done).cos())
            }
            LrScheduleKind::Plateau => self.factor.powi(reductions as i32).max(self.min_ratio),
        };
        warmed * falling
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_falls_to_its_floor() {
        let schedule = LrSchedule {
            warmup_steps: 10,
            min_ratio: 0.1,
            ..Default::default()
        };
        let shares: Vec<f32> = (0..=110).map(|step| schedule.factor_at(step, 110, 0)).collect();
        assert!((shares[4] - 0.5).abs() < 1e-6);
        assert!((shares[10] - 1.0).abs() < 1e-6);
        assert!(
            (shares[60] - 0.55).abs() < 1e-6,
            "half way between top and floor: {}",
            shares[60]
        );
        assert!((shares[110] - 0.1).abs() < 1e-6);
        assert!(shares[10..].is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn plateaus_multiply() {
        let schedule = LrSchedule {
            kind: LrScheduleKind::Plateau,
            warmup_steps: 0,
            min_ratio: 0.2,
            ..Default::default()
        };
        assert_eq!(
            [0, 1, 2, 3].map(|met| schedule.factor_at(50, 100, met)),
            [1.0, 0.5, 0.25, 0.2]
        );
    }
}
