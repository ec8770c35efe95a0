//! How a kernel walks over a map: size, stride and padding, shared by convolution and pooling.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Rows and columns of zeros around a map, in pixels. Explicit on every side, so that PyTorch's symmetric
/// padding and TensorFlow's "SAME" are both values of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Columns to the left.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// No padding ("valid").
    pub const NONE: Self = Self::all(0);

    /// The same on all four sides, as PyTorch's `padding=n`.
    pub const fn all(pixels: usize) -> Self {
        Self {
            top: pixels,
            left: pixels,
            bottom: pixels,
            right: pixels,
        }
    }

    /// TensorFlow's "SAME" for a map of `(height, width)`: `ceil(size / stride)` outputs, the odd pixel of
    /// padding below and to the right.
    pub fn same((height, width): (usize, usize), kernel: (usize, usize), stride: usize) -> Self {
        let (top, bottom) = same_along(height, kernel.0, stride);
        let (left, right) = same_along(width, kernel.1, stride);
        Self {
            top,
            left,
            bottom,
            right,
        }
    }
}

fn same_along(size: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let needed = (size.div_ceil(stride).saturating_sub(1) * stride + kernel).saturating_sub(size);
    (needed / 2, needed - needed / 2)
}

/// A kernel's extent and how it steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConvGeometry {
    /// `(height, width)` in pixels.
    pub kernel: (usize, usize),
    /// Pixels from one step to the next, in both directions; at least 1.
    pub stride: usize,
    /// Zeros around the map.
    pub padding: Padding,
}

impl ConvGeometry {
    /// A 1x1 kernel at every pixel.
    pub const POINTWISE: Self = Self::square(1, 1, Padding::NONE);

    /// A kernel of `size` x `size`.
    pub const fn square(size: usize, stride: usize, padding: Padding) -> Self {
        Self {
            kernel: (size, size),
            stride,
            padding,
        }
    }

    /// Positions within the kernel.
    pub const fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    /// `(height, width)` of the output for a map of `(height, width)`; zero if the kernel does not fit.
    pub fn output(&self, (height, width): (usize, usize)) -> (usize, usize) {
        let Padding {
            top,
            left,
            bottom,
            right,
        } = self.padding;
        (
            steps(height + top + bottom, self.kernel.0, self.stride),
            steps(width + left + right, self.kernel.1, self.stride),
        )
    }
}

fn steps(padded: usize, kernel: usize, stride: usize) -> usize {
    padded.checked_sub(kernel).map_or(0, |rest| rest / stride + 1)
}

/// A [`ConvGeometry`] on its way over a batch of maps. Pixels of the input and of the output are numbered image
/// after image, row after row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlidingWindow {
    pub(crate) window: ConvGeometry,
    pub(crate) images: usize,
    pub(crate) input: (usize, usize),
    pub(crate) output: (usize, usize),
}

/// An output pixel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputPixel {
    pub(crate) image: usize,
    pub(crate) y: usize,
    pub(crate) x: usize,
}

/// Neighboring taps of one kernel row that are all inside the map: tap `taps.start + i` reads input pixel
/// `pixel + i`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TapRun {
    pub(crate) taps: Range<usize>,
    pub(crate) pixel: usize,
}

impl SlidingWindow {
    /// # Panics
    /// If the kernel does not fit into the padded map.
    pub(crate) fn new(window: ConvGeometry, images: usize, input: (usize, usize)) -> Self {
        let output = window.output(input);
        assert!(
            output.0 > 0 && output.1 > 0,
            "a kernel of {:?} does not fit a map of {input:?}",
            window.kernel
        );
        Self {
            window,
            images,
            input,
            output,
        }
    }

    /// Input pixels of one image.
    pub(crate) fn inputs_per_image(&self) -> usize {
        self.input.0 * self.input.1
    }

    /// Output pixels of one image.
    pub(crate) fn outputs_per_image(&self) -> usize {
        self.output.0 * self.output.1
    }

    /// Output pixels of the batch.
    pub(crate) fn outputs(&self) -> usize {
        self.images * self.outputs_per_image()
    }

    /// `[images, height, width, channels]` of the output maps.
    pub(crate) fn output_shape(&self, channels: usize) -> (usize, usize, usize, usize) {
        (self.images, self.output.0, self.output.1, channels)
    }

    /// Whether output pixel `i` reads input pixel `i` and nothing else.
    pub(crate) fn is_pointwise(&self) -> bool {
        self.window == ConvGeometry::POINTWISE
    }

    pub(crate) fn position(&self, output: usize) -> OutputPixel {
        let (row, x) = (output / self.output.1, output % self.output.1);
        OutputPixel {
            image: row / self.output.0,
            y: row % self.output.0,
            x,
        }
    }

    /// The pixels under the kernel at `at`, kernel row by kernel row.
    pub(crate) fn runs(&self, at: OutputPixel) -> impl Iterator<Item = TapRun> + use<> {
        let ConvGeometry {
            kernel,
            stride,
            padding,
        } = self.window;
        let (height, width) = self.input;
        let rows = inside(at.y * stride, padding.top, kernel.0, height);
        let columns = inside(at.x * stride, padding.left, kernel.1, width);
        let first_row = at.image * height + at.y * stride;
        let first_column = at.x * stride + columns.start;
        let rows = if columns.is_empty() { 0..0 } else { rows };
        rows.map(move |ky| TapRun {
            taps: ky * kernel.1 + columns.start..ky * kernel.1 + columns.end,
            pixel: (first_row + ky - padding.top) * width + first_column - padding.left,
        })
    }
}

/// The taps along one axis that are inside a map of `size`, for a kernel that starts at `start - padding`.
fn inside(start: usize, padding: usize, kernel: usize, size: usize) -> Range<usize> {
    let first = padding.saturating_sub(start);
    let end = (size + padding).saturating_sub(start).min(kernel);
    first.min(end)..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_is_tensorflows() {
        // tf.nn.conv2d on 224 with kernel 3, stride 2 pads (0, 1); kernel 5, stride 1 pads (2, 2).
        let odd = Padding::same((224, 224), (3, 3), 2);
        assert_eq!((odd.top, odd.left, odd.bottom, odd.right), (0, 0, 1, 1));
        assert_eq!(Padding::same((7, 7), (5, 5), 1), Padding::all(2));
        assert_eq!(Padding::same((7, 7), (1, 1), 2), Padding::NONE);
    }

    #[test]
    fn output_sizes() {
        let size = |kernel, stride, padding, side| {
            ConvGeometry::square(kernel, stride, Padding::all(padding))
                .output((side, side))
                .0
        };
        assert_eq!(size(3, 1, 1, 224), 224);
        assert_eq!(size(3, 2, 1, 224), 112);
        assert_eq!(size(2, 2, 0, 7), 3);
        assert_eq!(size(7, 1, 0, 7), 1);
        assert_eq!(size(3, 1, 0, 2), 0);
    }

    #[test]
    fn runs_skip_what_lies_outside() {
        let sliding = SlidingWindow::new(ConvGeometry::square(3, 2, Padding::all(1)), 2, (3, 4));
        assert_eq!(sliding.output, (2, 2));
        let runs = |output| sliding.runs(sliding.position(output)).collect::<Vec<_>>();
        // Top left: the kernel's first row and column are padding.
        assert_eq!(
            runs(0),
            [TapRun { taps: 4..6, pixel: 0 }, TapRun { taps: 7..9, pixel: 4 }]
        );
        // Bottom right of the second image (its pixels start at 12): the last kernel row is padding.
        assert_eq!(
            runs(7),
            [
                TapRun {
                    taps: 0..3,
                    pixel: 17
                },
                TapRun {
                    taps: 3..6,
                    pixel: 21
                }
            ]
        );
    }

    #[test]
    fn a_kernel_may_lie_wholly_in_the_padding() {
        let sliding = SlidingWindow::new(ConvGeometry::square(1, 1, Padding::all(2)), 1, (1, 1));
        assert_eq!(sliding.output, (5, 5));
        let seen: Vec<usize> = (0..25)
            .filter(|&output| sliding.runs(sliding.position(output)).next().is_some())
            .collect();
        assert_eq!(seen, [12]);
    }
}
