//! Choosing among a few alternatives, evenly or by weight.

use rand::{Rng, RngExt};

/// One of `choices`, each as likely as the other.
pub(super) fn pick<T: Copy, const N: usize>(choices: &[T; N], rng: &mut impl Rng) -> T {
    choices[rng.random_range(0..N)]
}

/// Two different ones of `choices`.
pub(super) fn pick_two<T: Copy, const N: usize>(choices: &[T; N], rng: &mut impl Rng) -> (T, T) {
    let first = rng.random_range(0..N);
    let second = (first + rng.random_range(1..N)) % N;
    (choices[first], choices[second])
}

/// An alternative, and how often it is taken relative to the others.
pub(super) type Weighted<T> = (u32, T);

/// The index of one of `choices`, likely in proportion to its weight.
pub(super) fn weighted_index<T>(choices: &[Weighted<T>], rng: &mut impl Rng) -> usize {
    let total: u32 = choices.iter().map(|(weight, _)| weight).sum();
    let mut rest = rng.random_range(0..total);
    choices
        .iter()
        .position(|&(weight, _)| {
            let here = rest < weight;
            rest = rest.saturating_sub(weight);
            here
        })
        .unwrap_or_default()
}

/// One of `choices`, likely in proportion to its weight.
pub(super) fn pick_weighted<T: Copy>(choices: &[Weighted<T>], rng: &mut impl Rng) -> T {
    choices[weighted_index(choices, rng)].1
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn weighted_picks_follow_their_weights() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let choices = [(1, 'a'), (0, 'b'), (3, 'c')];
        let drawn: Vec<char> = (0..4_000).map(|_| pick_weighted(&choices, &mut rng)).collect();
        let share = |wanted| drawn.iter().filter(|&&letter| letter == wanted).count() as f64 / 4_000.0;
        assert!((share('a') - 0.25).abs() < 0.03);
        assert_eq!(share('b'), 0.0);
        assert!((share('c') - 0.75).abs() < 0.03);
    }

    #[test]
    fn two_picks_differ_and_every_pair_comes_up() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let pairs: std::collections::BTreeSet<_> =
            (0..500).map(|_| pick_two(&[0, 1, 2, 3], &mut rng)).collect();
        assert!(pairs.iter().all(|(first, second)| first != second));
        assert_eq!(pairs.len(), 12);
    }
}
