//! Signs that weights were never trained.

use super::architecture::Architecture;
use crate::vision::weights::state_dict::StateDict;

/// Kernels that are examined: each from the first to the last layer, up to this number.
const EXAMINED: usize = 12;
/// Kernels with fewer values say little about their distribution.
const MIN_VALUES: usize = 4096;
/// A normal distribution has a kurtosis of 3, a uniform one of 1.8; trained kernels have heavier tails.
const MAX_INITIAL_KURTOSIS: f64 = 3.3;

/// Why the weights of the first `stages` seem to be untrained.
pub(super) fn warning(architecture: &Architecture, stages: usize, tensors: &StateDict<'_>) -> Option<String> {
    let all = |is_wanted: fn(&str) -> bool, value: f32| {
        let names = architecture.tensors(stages).map(|(name, _)| name);
        let mut wanted = names.filter(|name| is_wanted(name)).peekable();
        wanted.peek().is_some()
            && wanted.all(|name| values(tensors, name).iter().all(|&found| found == value))
    };
    let large = architecture.tensors(stages).filter(|&(_, len)| len >= MIN_VALUES);
    let large: Vec<(&str, f64)> = large
        .take(EXAMINED)
        .map(|(name, _)| (name, kurtosis(&values(tensors, name))))
        .collect();
    // The kurtosis of equal values is 0 / 0.
    let constant = large.iter().find(|(_, kurtosis)| kurtosis.is_nan());
    let sign = if let Some((name, _)) = constant {
        format!("all values of {name:?} are the same")
    } else if all(is_mean, 0.0) && all(is_variance, 1.0) {
        "batch normalization has mean 0 and variance 1 everywhere".to_owned()
    } else if !large.is_empty() && large.iter().all(|(_, kurtosis)| *kurtosis < MAX_INITIAL_KURTOSIS) {
        "its kernels are distributed as initial weights are".to_owned()
    } else {
        return None;
    };
    Some(format!(
        "these weights seem to be untrained: {sign}; check that they are the file that you mean"
    ))
}

fn is_mean(name: &str) -> bool {
    name.ends_with("running_mean") || name.ends_with("moving_mean")
}

fn is_variance(name: &str) -> bool {
    name.ends_with("running_var") || name.ends_with("moving_variance")
}

/// The values; none for a tensor that cannot be loaded, of which loading tells.
fn values(tensors: &StateDict<'_>, name: &str) -> Vec<f32> {
    let shape = tensors.shape(name).unwrap_or_default();
    tensors.get(name, shape).unwrap_or_default()
}

/// The fourth central moment divided by the square of the second.
fn kurtosis(values: &[f32]) -> f64 {
    let len = values.len() as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / len;
    let moment = |power: i32| {
        let powers = values.iter().map(|&value| (f64::from(value) - mean).powi(power));
        powers.sum::<f64>() / len
    };
    moment(4) / moment(2).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kurtosis_equals_that_of_known_distributions() {
        let uniform: Vec<f32> = (0..10_000).map(|value| value as f32).collect();
        assert!((kurtosis(&uniform) - 1.8).abs() < 1e-3);
        assert_eq!(kurtosis(&[-1.0, 1.0, -1.0, 1.0]), 1.0);
        assert!(kurtosis(&[0.25; 8]).is_nan());
        assert!(kurtosis(&[]).is_nan());
    }
}
