//! A kernel with its arguments.

use super::memory::Span;
use super::signature::Parameter;
use crate::nn::ops::activation::Activation;
use crate::nn::ops::conv_geometry::Walk;

/// Threads of a block; `THREADS` in the sources.
const THREADS: usize = 256;

/// More blocks than this take several values a thread.
const MOST_BLOCKS: usize = 1 << 20;

/// A kernel, how many threads it is to have, and its arguments in order.
#[derive(Debug)]
#[must_use]
pub(crate) struct Call {
    pub(super) kernel: &'static str,
    /// Across and down.
    pub(super) blocks: [u32; 2],
    pub(super) threads: u32,
    pub(super) arguments: Vec<Argument>,
}

/// What is handed to a kernel.
#[derive(Clone, Copy, Debug)]
pub(super) enum Argument {
    /// Floats or indices: where they begin.
    Values(u64),
    Number(f32),
    Size(i32),
    Count(i64),
}

impl Argument {
    /// As the driver reads it: the first bytes of eight.
    pub(super) fn bits(self) -> u64 {
        match self {
            Self::Values(address) => address,
            Self::Number(number) => u64::from(number.to_bits()),
            Self::Size(size) => u64::from(size as u32),
            Self::Count(count) => count as u64,
        }
    }

    fn fits(self, parameter: Parameter) -> bool {
        match self {
            Self::Values(_) => parameter == Parameter::Values,
            Self::Number(_) => parameter == Parameter::Number,
            Self::Size(_) => parameter == Parameter::Size,
            Self::Count(_) => parameter == Parameter::Count,
        }
    }
}

impl Call {
    /// A thread for each of `count` values, which the kernel must still be [told](Self::count).
    pub(crate) fn of_values(kernel: &'static str, count: usize) -> Self {
        Self::of_blocks(kernel, [count.div_ceil(THREADS).clamp(1, MOST_BLOCKS), 1])
    }

    /// Blocks whose threads work together.
    pub(crate) fn of_blocks(kernel: &'static str, blocks: [usize; 2]) -> Self {
        Self {
            kernel,
            blocks: blocks.map(|blocks| blocks as u32),
            threads: THREADS as u32,
            arguments: Vec::new(),
        }
    }

    /// Threads for so many pieces of work in each block, in whole warps, and no more than there are in any block.
    pub(crate) fn sharing(self, pieces: usize) -> Self {
        let threads = pieces.next_multiple_of(32).clamp(32, THREADS) as u32;
        Self { threads, ..self }
    }

    /// Memory of which the kernel reads or writes the first `len` values.
    ///
    /// # Panics
    /// Where there are fewer.
    pub(crate) fn values(self, span: Span, len: usize) -> Self {
        assert!(
            len <= span.len(),
            "{} is to use {len} of {} values",
            self.kernel,
            span.len()
        );
        self.with(Argument::Values(span.address()))
    }

    /// As [`values`](Self::values), or a null pointer.
    pub(crate) fn values_if_any(self, span: Option<Span>, len: usize) -> Self {
        match span {
            Some(span) => self.values(span, len),
            None => self.with(Argument::Values(Span::NONE.address())),
        }
    }

    pub(crate) fn number(self, number: f32) -> Self {
        self.with(Argument::Number(number))
    }

    /// A size, which an `int` holds.
    ///
    /// # Panics
    /// Where it does not.
    pub(crate) fn size(self, size: usize) -> Self {
        assert!(
            i32::try_from(size).is_ok(),
            "{} is given a size of {size}",
            self.kernel
        );
        self.with(Argument::Size(size as i32))
    }

    pub(crate) fn count(self, count: usize) -> Self {
        self.with(Argument::Count(count as i64))
    }

    pub(crate) fn activation(self, activation: Activation) -> Self {
        self.with(Argument::Size(activation.code()))
    }

    /// The numbers of a walk, `WALK` in the sources.
    pub(crate) fn walk(self, walk: &Walked) -> Self {
        walk.0.iter().fold(self, |call, &number| call.size(number))
    }

    fn with(mut self, argument: Argument) -> Self {
        self.arguments.push(argument);
        self
    }

    /// The arguments as the driver reads them.
    ///
    /// # Panics
    /// Where they are not what the kernel takes: it would read what is not there.
    pub(super) fn bits(&self, parameters: &[Parameter]) -> Vec<u64> {
        let fits = self.arguments.len() == parameters.len()
            && self
                .arguments
                .iter()
                .zip(parameters)
                .all(|(argument, &parameter)| argument.fits(parameter));
        assert!(
            fits,
            "{} takes {parameters:?}, not {:?}",
            self.kernel, self.arguments
        );
        self.arguments.iter().map(|argument| argument.bits()).collect()
    }
}

/// A walk as kernels are told of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walked([usize; 9]);

impl From<&Walk> for Walked {
    fn from(walk: &Walk) -> Self {
        let window = walk.window;
        Self([
            walk.input.0,
            walk.input.1,
            walk.output.0,
            walk.output.1,
            window.kernel.0,
            window.kernel.1,
            window.stride,
            window.padding.top,
            window.padding.left,
        ])
    }
}
