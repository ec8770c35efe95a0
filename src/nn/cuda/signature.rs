//! What a kernel takes, as its source says.

use super::SOURCES;
use std::collections::BTreeMap;

/// What a kernel's definition begins with.
const BEGINS: &str = "extern \"C\" __global__ void ";

/// A kind of parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    /// A pointer.
    Values,
    /// `float`
    Number,
    /// `int`
    Size,
    /// `Count`
    Count,
}

/// Every kernel of the sources, and what it takes.
pub(super) fn kernels() -> BTreeMap<&'static str, Vec<Parameter>> {
    let walk = walk();
    SOURCES
        .iter()
        .flat_map(|source| source.split(BEGINS).skip(1))
        .filter_map(|definition| {
            let (name, rest) = definition.split_once('(')?;
            let (parameters, _) = rest.split_once(')')?;
            Some((name, parameters_of(parameters, &walk)))
        })
        .collect()
}

/// What `WALK` stands for.
fn walk() -> Vec<Parameter> {
    let definition = SOURCES[0]
        .lines()
        .find_map(|line| line.strip_prefix("#define WALK "));
    parameters_of(definition.unwrap_or_default(), &[])
}

fn parameters_of(list: &str, walk: &[Parameter]) -> Vec<Parameter> {
    list.split(',')
        .map(str::trim)
        .flat_map(|parameter| match parameter {
            "WALK" => walk.to_vec(),
            pointer if pointer.contains('*') => vec![Parameter::Values],
            number if number.starts_with("float ") => vec![Parameter::Number],
            count if count.starts_with("Count ") => vec![Parameter::Count],
            _ => vec![Parameter::Size],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_from_the_source() {
        let kernels = kernels();
        use Parameter::{Count, Number, Size, Values};
        assert_eq!(kernels["copy_values"], [Values, Values, Count]);
        assert_eq!(kernels["follow"], [Values, Values, Number, Count]);
        assert_eq!(kernels["mean_of_groups"], [Values, Values, Size, Size, Count]);
        let windows = &kernels["gather_windows"];
        assert_eq!(windows[..4], [Values, Values, Count, Size]);
        assert_eq!(windows[4..], [Size; 9]);
    }

    /// A kernel that nobody calls is one that nobody tests.
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
            let name = format!("\"{kernel}\"");
            assert!(callers.iter().any(|caller| caller.contains(&name)), "{kernel}");
        }
    }
}
