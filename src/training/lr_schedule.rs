//! LR schedules.

use crate::config::AutoOr;
use serde::{Deserialize, Serialize};
use strum::VariantNames;

/// Steps of warmup, unless a tenth of the phase is less.
const WARMUP_STEPS: u64 = 200;

/// The LR schedule: a linear warmup, then one of the kinds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "SETTINGS describes each setting")]
pub struct LrSchedule {
    pub kind: LrScheduleKind,
    pub warmup_steps: AutoOr<u64>,
    pub min_ratio: f32,
    pub factor: f32,
    pub patience: usize,
}

/// The learning rate after the warmup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum LrScheduleKind {
    /// Constant.
    Constant,
    /// Half a cosine over the whole phase (Loshchilov & Hutter 2017, equation 5).
    #[default]
    Cosine,
    /// Drops by a factor if the dev metric stops improving.
    Plateau,
}

impl Default for LrSchedule {
    fn default() -> Self {
        Self {
            kind: LrScheduleKind::Cosine,
            warmup_steps: AutoOr::Auto,
            min_ratio: 0.02,
            factor: 0.5,
            patience: 1,
        }
    }
}

impl LrSchedule {
    /// The learning rate as a fraction of the highest, at `step` (from 0) of `total`, after `lr_drops` drops of the
    /// plateau schedule.
    pub fn factor_at(&self, step: u64, total: u64, lr_drops: u32) -> f32 {
        let warmup_steps = self.warmup_steps.unwrap_or(WARMUP_STEPS.min(total / 10));
        let warmup = ((step + 1) as f32 / warmup_steps.max(1) as f32).min(1.0);
        let decay = match self.kind {
            LrScheduleKind::Constant => 1.0,
            LrScheduleKind::Cosine => {
                let length = total.saturating_sub(warmup_steps).max(1);
                let done = (step.saturating_sub(warmup_steps) as f32 / length as f32).min(1.0);
                self.min_ratio + (1.0 - self.min_ratio) * 0.5 * (1.0 + (std::f32::consts::PI * done).cos())
            }
            LrScheduleKind::Plateau => self.factor.powi(lr_drops as i32).max(self.min_ratio),
        };
        warmup * decay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_rises_then_falls_to_min_ratio() {
        let schedule = LrSchedule {
            warmup_steps: AutoOr::Set(10),
            min_ratio: 0.1,
            ..Default::default()
        };
        let factors: Vec<f32> = (0..=110).map(|step| schedule.factor_at(step, 110, 0)).collect();
        assert!((factors[4] - 0.5).abs() < 1e-6);
        assert!((factors[10] - 1.0).abs() < 1e-6);
        assert!((factors[60] - 0.55).abs() < 1e-6, "halfway: {}", factors[60]);
        assert!((factors[110] - 0.1).abs() < 1e-6);
        assert!(factors[10..].is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn auto_warmup_is_at_most_a_tenth_of_the_phase() {
        let schedule = LrSchedule::default();
        let warmup = |total| {
            (0..total)
                .position(|step| schedule.factor_at(step, total, 0) >= 0.999)
                .unwrap()
                + 1
        };
        assert_eq!([warmup(10), warmup(300), warmup(10_000)], [1, 30, 200]);
    }

    #[test]
    fn plateau_drops_multiply() {
        let schedule = LrSchedule {
            kind: LrScheduleKind::Plateau,
            warmup_steps: AutoOr::Set(0),
            min_ratio: 0.2,
            ..Default::default()
        };
        assert_eq!(
            [0, 1, 2, 3].map(|drops| schedule.factor_at(50, 100, drops)),
            [1.0, 0.5, 0.25, 0.2]
        );
    }
}
