//! Elementary functions without branches, tables or calls, so that loops over them become vector code.
//!
//! After the Cephes library (Moshier 1992, `expf.c` and `tanhf.c`): reduction to a small argument, and a polynomial.
//! They are for use within [`pulp::Arch::dispatch`], which compiles a loop for the vectors that the machine has.
//! Relative errors are below 3e-7. NaN stays NaN.

/// Beyond these, `exp` has no normal `f32`.
const LOWEST: f32 = -87.0;
const HIGHEST: f32 = 88.0;
/// Added and taken away again, it rounds to a whole number, which then stands in the lowest bits.
const ROUNDING: f32 = 12_582_912.0;
/// The logarithm of 2 in two parts, the first of few bits: multiples of it are exact.
const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
/// Below it, `tanh` would be a small difference of large numbers.
const SMALL: f32 = 0.625;

/// `e` to the power of `x`, clamped to normal `f32`s.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Not `clamp`, `min` or `max`: a number is taken where a comparison with what is none fails.
    let x = if x < LOWEST { LOWEST } else { x };
    let x = if x > HIGHEST { HIGHEST } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUNDING;
    let twos = rounded - ROUNDING;
    let rest = x - twos * LN_2.0 - twos * LN_2.1;
    let series = polynomial(
        rest,
        [
            1.987_569_1e-4,
            1.398_2e-3,
            8.333_452e-3,
            4.166_579_6e-2,
            1.666_666_5e-1,
            0.5,
        ],
    );
    let power = series * rest * rest + rest + 1.0;
    let exponent = (rounded.to_bits() as i32).wrapping_sub(ROUNDING.to_bits() as i32) + 127;
    power * f32::from_bits((exponent as u32) << 23)
}

/// `1 / (1 + exp(-x))`
#[inline(always)]
pub(in crate::nn) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, tanh.
#[inline(always)]
pub(in crate::nn) fn tanh(x: f32) -> f32 {
    let square = x * x;
    let series = polynomial(
        square,
        [
            -5.704_988_7e-3,
            2.063_909e-2,
            -5.373_971_6e-2,
            1.333_144_2e-1,
            -3.333_328e-1,
        ],
    );
    let near = series * square * x + x;
    let far = 1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0);
    if x.abs() < SMALL { near } else { far.copysign(x) }
}

/// The constants of formula 7.1.26 of Abramowitz & Stegun 1964 for the error function of `x / sqrt(2)`.
pub(in crate::nn) const GELU_SCALE: f32 = 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2;
pub(in crate::nn) const GELU_SERIES: [f32; 5] =
    [1.061_405_4, -1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6];

/// `x` times the share of the standard normal distribution below `x`, with an error below 2e-7 `|x|`.
#[inline(always)]
pub(in crate::nn) fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series = polynomial(
        t,
        [1.061_405_4, -1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6],
    );
    let beyond = 0.5 * series * t * exp(-z * z);
    x * if x < 0.0 { beyond } else { 1.0 - beyond }
}

/// The polynomial of these coefficients, that of the highest power first (Horner's rule).
#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    coefficients
        .into_iter()
        .fold(0.0, |sum, coefficient| sum * x + coefficient)
}

/// Independent lanes of sums and maxima: in a single one, each addition would wait for the one before.
const LANES: usize = 16;

/// The largest value; NaN is ignored.
#[inline(always)]
pub(crate) fn largest(values: &[f32]) -> f32 {
    let larger = |most, value| if value > most { value } else { most };
    fold(values, f32::NEG_INFINITY, |value| value, larger)
}

/// The sum of some values, always added in the same order.
#[inline(always)]
pub(in crate::nn) fn sum(values: &[f32]) -> f32 {
    sum_of(values, |value| value)
}

/// The sum of what `term` makes of some values, always added in the same order.
#[inline(always)]
pub(crate) fn sum_of(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    fold(values, 0.0, term, |sum, term| sum + term)
}

/// The sum of the products of some values with others, always added in the same order.
#[inline(always)]
pub(in crate::nn) fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in left.iter().zip(right) {
        for (lane, (left, right)) in lanes.iter_mut().zip(left.iter().zip(right)) {
            *lane += left * right;
        }
    }
    let joined: f32 = lanes.into_iter().sum();
    let rest = left_rest.iter().zip(right_rest);
    rest.fold(joined, |sum, (left, right)| sum + left * right)
}

#[inline(always)]
fn fold(values: &[f32], start: f32, term: impl Fn(f32) -> f32, join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let pieces = values.chunks_exact(LANES);
    let rest = pieces.remainder();
    for piece in pieces {
        for (lane, value) in lanes.iter_mut().zip(piece) {
            *lane = join(*lane, term(*value));
        }
    }
    let joined = lanes.into_iter().fold(start, &join);
    rest.iter()
        .fold(joined, |so_far, value| join(so_far, term(*value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_close(found: f32, expected: f64) -> bool {
        (f64::from(found) - expected).abs() <= 3e-7 * expected.abs()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn they_are_what_the_standard_library_has(x in -86.9_f32..87.9, small in -1.0_f32..1.0) {
            for x in [x, small, small * 1e-4] {
                let precise = f64::from(x);
                prop_assert!(is_close(exp(x), precise.exp()), "exp({x}) = {}", exp(x));
                prop_assert!(is_close(tanh(x), precise.tanh()), "tanh({x}) = {}", tanh(x));
                prop_assert!(is_close(sigmoid(x), 1.0 / (1.0 + (-precise).exp())), "sigmoid({x}) = {}", sigmoid(x));
            }
        }
    }

    /// The values are scipy's `x * norm.cdf(x)`.
    #[test]
    fn gelu_is_that_of_the_error_function() {
        for (x, expected) in [
            (-4.0, -1.266_849_7e-4),
            (-1.0, -0.158_655_25),
            (-0.3, -0.114_626_58),
            (0.01, 0.005_039_893),
            (0.7, 0.530_625_4),
            (2.5, 2.484_475_8),
        ] {
            assert!((gelu(x) - expected).abs() < 3e-7 * x.abs(), "{x}: {}", gelu(x));
        }
    }

    #[test]
    fn the_ends_are_finite_and_no_number_stays_none() {
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
        assert!(exp(f32::INFINITY) > 1e38 && exp(1e9).is_finite());
        assert_eq!((tanh(f32::INFINITY), tanh(-1e9)), (1.0, -1.0));
        assert_eq!((sigmoid(1e9), sigmoid(0.0)), (1.0, 0.5));
        assert_eq!((gelu(1e9), gelu(0.0)), (1e9, 0.0));
        assert!(gelu(-1e9).abs() < 1e-20);
        for function in [exp, sigmoid, tanh, gelu] {
            assert!(function(f32::NAN).is_nan());
        }
    }

    proptest! {
        #[test]
        fn sums_and_maxima_are_those_of_all_values(values in prop::collection::vec(-10.0_f32..10.0, 0..100)) {
            let expected: f64 = values.iter().copied().map(f64::from).sum();
            prop_assert!((f64::from(sum(&values)) - expected).abs() < 1e-3);
            prop_assert_eq!(largest(&values), values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let squares: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
            prop_assert!((f64::from(dot(&values, &values)) - squares).abs() < 1e-2);
        }
    }
}
