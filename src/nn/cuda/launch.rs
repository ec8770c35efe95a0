//! A kernel with its arguments.

use super::memory::DeviceSlice;
use super::signature::ArgumentKind;
use crate::nn::ops::activation::Activation;
use crate::nn::ops::conv_geometry::SlidingWindow;

/// Threads of a block; `THREADS` in the sources.
const THREADS: usize = 256;

/// More blocks than this take several values a thread.
const MOST_BLOCKS: usize = 1 << 20;

/// A kernel, how many threads it is to have, and its arguments in order.
#[derive(Debug)]
#[must_use]
pub(crate) struct Launch {
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

    fn fits(self, parameter: ArgumentKind) -> bool {
        match self {
            Self::Values(_) => parameter == ArgumentKind::Values,
            Self::Number(_) => parameter == ArgumentKind::Number,
            Self::Size(_) => parameter == ArgumentKind::Size,
            Self::Count(_) => parameter == ArgumentKind::Count,
        }
    }
}

impl Launch {
    /// A thread for each of `count` values, which must still be passed as an [argument](Self::count).
    pub(crate) fn per_value(kernel: &'static str, count: usize) -> Self {
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

    /// Threads for `pieces` pieces of work in each block, in whole warps, and no more than there are in any block.
    pub(crate) fn sharing(self, pieces: usize) -> Self {
        let threads = pieces.next_multiple_of(32).clamp(32, THREADS) as u32;
        Self { threads, ..self }
    }

    /// Memory of which the kernel reads or writes the first `len` values.
    ///
    /// # Panics
    /// Where there are fewer.
    pub(crate) fn values(self, slice: DeviceSlice, len: usize) -> Self {
        assert!(
            len <= slice.len(),
            "{} is to use {len} of {} values",
            self.kernel,
            slice.len()
        );
        self.with(Argument::Values(slice.address()))
    }

    /// As [`values`](Self::values), or a null pointer.
    pub(crate) fn values_if_any(self, slice: Option<DeviceSlice>, len: usize) -> Self {
        match slice {
            Some(slice) => self.values(slice, len),
            None => self.with(Argument::Values(DeviceSlice::NONE.address())),
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

    /// The arguments of a sliding window, `WINDOW` in the sources.
    pub(crate) fn sliding(self, sliding: &WindowArguments) -> Self {
        sliding.0.iter().fold(self, |launch, &number| launch.size(number))
    }

    fn with(mut self, argument: Argument) -> Self {
        self.arguments.push(argument);
        self
    }

    /// The arguments as the driver reads them.
    ///
    /// # Panics
    /// Where they are not what the kernel takes: it would read what is not there.
    pub(super) fn bits(&self, parameters: &[ArgumentKind]) -> Vec<u64> {
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

/// The numbers of a sliding window in the order of the macro `WINDOW`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowArguments([usize; 9]);

impl From<&SlidingWindow> for WindowArguments {
    fn from(sliding: &SlidingWindow) -> Self {
        let window = sliding.window;
        Self([
            sliding.input.0,
            sliding.input.1,
            sliding.output.0,
            sliding.output.1,
            window.kernel.0,
            window.kernel.1,
            window.stride,
            window.padding.top,
            window.padding.left,
        ])
    }
}
