//! The parameters of the kernels, read from their sources.

use super::SOURCE;
use std::collections::BTreeMap;

/// The beginning of a kernel's definition.
const BEGINS: &str = "extern \"C\" __global__ void ";

/// A kind of parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArgumentKind {
    /// A pointer.
    Values,
    /// `float`
    Number,
    /// `int`
    Size,
    /// `Count`
    Count,
}

/// Every kernel of the sources, and its parameters.
pub(super) fn kernels() -> BTreeMap<&'static str, Vec<ArgumentKind>> {
    let window = window();
    SOURCE
        .split(BEGINS)
        .skip(1)
        .filter_map(|definition| {
            let (name, rest) = definition.split_once('(')?;
            let (parameters, _) = rest.split_once(')')?;
            Some((name, parameters_of(parameters, &window)))
        })
        .collect()
}

/// The parameters of the macro `WINDOW`.
fn window() -> Vec<ArgumentKind> {
    let definition = SOURCE
        .lines()
        .find_map(|line| line.strip_prefix("#define WINDOW "));
    parameters_of(definition.unwrap_or_default(), &[])
}

fn parameters_of(list: &str, window: &[ArgumentKind]) -> Vec<ArgumentKind> {
    list.split(',')
        .map(str::trim)
        .flat_map(|parameter| match parameter {
            "WINDOW" => window.to_vec(),
            pointer if pointer.contains('*') => vec![ArgumentKind::Values],
            number if number.starts_with("float ") => vec![ArgumentKind::Number],
            count if count.starts_with("Count ") => vec![ArgumentKind::Count],
            _ => vec![ArgumentKind::Size],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_from_the_source() {
        let kernels = kernels();
        use ArgumentKind::{Count, Number, Size, Values};
        assert_eq!(kernels["copy_values"], [Values, Values, Count]);
        assert_eq!(kernels["ema_update"], [Values, Values, Number, Count]);
        assert_eq!(kernels["mean_of_groups"], [Values, Values, Size, Size, Count]);
        let windows = &kernels["gather_windows"];
        assert_eq!(windows[..4], [Values, Values, Count, Size]);
        assert_eq!(windows[4..], [Size; 9]);
    }

    /// A kernel without a caller is untested.
    #[test]
    fn every_kernel_is_called_from_somewhere() {
        let callers = [
            include_str!("../ops/rows/cuda.rs"),
            include_str!("../ops/conv2d/cuda.rs"),
            include_str!("../ops/depthwise/cuda.rs"),
            include_str!("../ops/pool/cuda.rs"),
            include_str!("../ops/lstm/cuda.rs"),
            include_str!("../ops/cross_entropy/cuda.rs"),
            include_str!("../ops/attention/cuda.rs"),
            include_str!("../optim/cuda.rs"),
            include_str!("elementwise.rs"),
        ];
        for kernel in kernels().keys() {
            let name = format!("=> {kernel}[");
            assert!(callers.iter().any(|caller| caller.contains(&name)), "{kernel}");
        }
    }
}
