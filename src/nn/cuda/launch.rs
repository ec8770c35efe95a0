//! A kernel with its threads and arguments.

use super::memory::DeviceSlice;
use super::signature::ArgumentKind;
use crate::nn::cpu::matmul::WriteMode;
use crate::nn::ops::activation::Activation;
use crate::nn::ops::conv_geometry::SlidingWindow;

/// Threads of a block; `THREADS` in the sources.
const THREADS: usize = 256;

/// More blocks than this take several values per thread.
const MOST_BLOCKS: usize = 1 << 20;

/// The most blocks that a GPU takes across and down.
const MAX_BLOCKS: [usize; 2] = [(1 << 31) - 1, (1 << 16) - 1];

/// Runs a kernel on a stream, as CUDA's `kernel<<<grid>>>(arguments)`: `launch!(stream => kernel[grid](arguments))`.
macro_rules! launch {
    ($stream:expr => $kernel:ident[$grid:expr]($($argument:expr),+)) => {
        $stream.run($crate::nn::cuda::Launch::new(stringify!($kernel), $grid)$(.with($argument))+)
    };
}
pub(crate) use launch;

/// The blocks of a launch, across and down, and the threads of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    blocks: [u32; 2],
    threads: u32,
}

impl Grid {
    /// Blocks whose threads work together. What grows with a batch goes across: 65,535 blocks fit down.
    ///
    /// # Panics
    /// If a GPU takes fewer: the driver would reject the launch.
    pub(crate) fn blocks(across: usize, down: usize) -> Self {
        assert!(
            across <= MAX_BLOCKS[0] && down <= MAX_BLOCKS[1],
            "a grid of {across} x {down} blocks"
        );
        Self {
            blocks: [across as u32, down as u32],
            threads: THREADS as u32,
        }
    }

    /// Threads for `pieces` pieces of work in each block, in whole warps, and no more than there are in any block.
    pub(crate) fn sharing(self, pieces: usize) -> Self {
        let threads = pieces.next_multiple_of(32).clamp(32, THREADS) as u32;
        Self { threads, ..self }
    }
}

/// A thread for each value.
impl From<usize> for Grid {
    fn from(values: usize) -> Self {
        Self::blocks(values.div_ceil(THREADS).clamp(1, MOST_BLOCKS), 1)
    }
}

/// A kernel, its grid, and its arguments in order.
#[derive(Debug)]
#[must_use]
pub(crate) struct Launch {
    pub(super) kernel: &'static str,
    /// Across and down.
    pub(super) blocks: [u32; 2],
    pub(super) threads: u32,
    arguments: Vec<Argument>,
}

/// An argument of a kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Argument {
    /// The address of floats or indices.
    Values(u64),
    Number(f32),
    /// An `int` or a `Count`.
    Integer(usize),
}

impl Argument {
    /// As the driver reads it, in the first bytes of eight; `None` if the parameter cannot hold it.
    fn bits(self, parameter: ArgumentKind) -> Option<u64> {
        match (self, parameter) {
            (Self::Values(address), ArgumentKind::Values) => Some(address),
            (Self::Number(number), ArgumentKind::Number) => Some(u64::from(number.to_bits())),
            (Self::Integer(size), ArgumentKind::Size) => i32::try_from(size).ok().map(|size| size as u64),
            (Self::Integer(count), ArgumentKind::Count) => Some(count as u64),
            _ => None,
        }
    }
}

/// A value that is one or more arguments of a kernel.
pub(crate) trait KernelArgument {
    fn push_to(self, arguments: &mut Vec<Argument>);
}

macro_rules! kernel_arguments {
    ($($type:ty: $value:ident => $argument:expr),+ $(,)?) => {
        $(impl KernelArgument for $type {
            fn push_to(self, arguments: &mut Vec<Argument>) {
                let $value = self;
                arguments.push($argument);
            }
        })+
    };
}

kernel_arguments! {
    DeviceSlice: slice => Argument::Values(slice.address()),
    // A null pointer without one.
    Option<DeviceSlice>: slice => Argument::Values(slice.map_or(0, DeviceSlice::address)),
    f32: number => Argument::Number(number),
    usize: integer => Argument::Integer(integer),
    Activation: activation => Argument::Integer(activation.code()),
    // Whether to accumulate.
    WriteMode: mode => Argument::Integer(usize::from(mode == WriteMode::Accumulate)),
}

/// `WINDOW` in the sources.
impl KernelArgument for &SlidingWindow {
    fn push_to(self, arguments: &mut Vec<Argument>) {
        let (window, padding) = (self.window, self.window.padding);
        let pairs = [self.input, self.output, window.kernel];
        let sizes = pairs.into_iter().flat_map(|(height, width)| [height, width]);
        let sizes = sizes.chain([window.stride, padding.top, padding.left]);
        arguments.extend(sizes.map(Argument::Integer));
    }
}

impl Launch {
    pub(crate) fn new(kernel: &'static str, grid: impl Into<Grid>) -> Self {
        let Grid { blocks, threads } = grid.into();
        Self {
            kernel,
            blocks,
            threads,
            arguments: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, argument: impl KernelArgument) -> Self {
        argument.push_to(&mut self.arguments);
        self
    }

    /// The arguments as the driver reads them.
    ///
    /// # Panics
    /// If they do not match the kernel's parameters: it would read memory beyond them.
    pub(super) fn bits(&self, parameters: &[ArgumentKind]) -> Vec<u64> {
        let pairs = self.arguments.iter().zip(parameters);
        let bits: Vec<u64> = pairs
            .filter_map(|(argument, &kind)| argument.bits(kind))
            .collect();
        assert!(
            bits.len() == parameters.len() && bits.len() == self.arguments.len(),
            "{} takes {parameters:?}, not {:?}",
            self.kernel,
            self.arguments
        );
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::Grid;

    #[test]
    fn grid_beyond_what_a_gpu_takes_is_rejected() {
        Grid::blocks((1 << 31) - 1, 65_535);
        for (across, down) in [(1 << 31, 1), (1, 65_536)] {
            assert!(std::panic::catch_unwind(|| Grid::blocks(across, down)).is_err());
        }
    }
}
