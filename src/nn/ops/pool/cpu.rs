//! Pooling on the CPU: output rows side by side, channels in vector registers.

use super::PoolKernel;
use crate::nn::cpu::slices::{add, put_gradient, take_gradient, values};
use crate::nn::ops::conv_geometry::{ConvGeometry, SlidingWindow};
use crate::nn::tape::record;
use crate::nn::{Images, MatrixResult};
use dfdx::prelude::*;
use pulp::Arch;
use rayon::prelude::*;

impl PoolKernel for Cpu {
    fn max_pool<T: Tape<f32, Self>>(
        x: Images<Self, T>,
        window: ConvGeometry,
    ) -> Result<Images<Self, T>, CpuError> {
        let (images, height, width, channels) = *x.shape();
        let pool = Pool {
            sliding: SlidingWindow::new(window, images, (height, width)),
            channels,
        };
        let (x, tape) = x.split_tape();
        let input = values(&x);
        let mut y = vec![0.0; pool.sliding.outputs() * channels];
        pool.maxima(&input, &mut y);
        let y = x
            .device()
            .try_tensor_from_vec(y, pool.sliding.output_shape(channels))?;
        Ok(record(y, tape, move |gradients, y| {
            let output = take_gradient(gradients, y)?;
            let mut gradient = take_gradient(gradients, &x)?;
            pool.backward(&input, &values(y), &output, &mut gradient);
            put_gradient(gradients, &x, gradient)
        }))
    }

    fn global_avg_pool<T: Tape<f32, Self>>(x: Images<Self, T>) -> MatrixResult<Self, T> {
        let (images, height, width, channels) = *x.shape();
        let (x, tape) = x.split_tape();
        let scale = 1.0 / (height * width) as f32;
        let map = height * width * channels;
        let mut means = vec![0.0; images * channels];
        mean_pixel(&values(&x), map, channels, &mut means);
        let y = x.device().try_tensor_from_vec(means, (images, channels))?;
        Ok(record(y, tape, move |gradients, y| {
            let mut output = take_gradient(gradients, y)?;
            output.iter_mut().for_each(|gradient| *gradient *= scale);
            let input = gradients.get_or_alloc_mut(&x)?;
            for (output, map) in output.chunks_exact(channels).zip(input.chunks_exact_mut(map)) {
                for pixel in map.chunks_exact_mut(channels) {
                    add(pixel, output);
                }
            }
            Ok(())
        }))
    }
}

/// The mean over the pixels of each of the maps in `x`, `map` numbers long. Overwrites `means`.
pub(in crate::nn) fn mean_pixel(x: &[f32], map: usize, channels: usize, means: &mut [f32]) {
    let scale = channels as f32 / map as f32;
    let maps = x.par_chunks_exact(map);
    means
        .par_chunks_exact_mut(channels)
        .zip(maps)
        .for_each(|(mean, map)| {
            mean.fill(0.0);
            Arch::new().dispatch(|| {
                map.chunks_exact(channels).for_each(|pixel| add(mean, pixel));
                mean.iter_mut().for_each(|mean| *mean *= scale);
            });
        });
}

/// A window over maps of some channels.
pub(in crate::nn) struct Pool {
    pub(in crate::nn) sliding: SlidingWindow,
    pub(in crate::nn) channels: usize,
}

impl Pool {
    /// Overwrites `y` with the maxima.
    pub(in crate::nn) fn maxima(&self, x: &[f32], y: &mut [f32]) {
        self.fold(x, y, f32::NEG_INFINITY, keep_larger);
    }

    /// Overwrites `y` with the means; `scales` are [`AveragePool::scales`](super::AveragePool::scales).
    pub(in crate::nn) fn means(&self, x: &[f32], scales: &[f32], y: &mut [f32]) {
        self.fold(x, y, 0.0, |y, x| Arch::new().dispatch(|| add(y, x)));
        let pixels = y.chunks_exact_mut(self.channels);
        for (pixel, scale) in pixels.zip(scales.iter().cycle()) {
            pixel.iter_mut().for_each(|value| *value *= scale);
        }
    }

    fn fold(&self, x: &[f32], y: &mut [f32], start: f32, join: impl Fn(&mut [f32], &[f32]) + Sync) {
        let row = self.sliding.output.1;
        y.par_chunks_mut(row * self.channels)
            .enumerate()
            .for_each(|(index, y)| {
                y.fill(start);
                for (pixel, y) in (index * row..).zip(y.chunks_exact_mut(self.channels)) {
                    for seen in self.seen(pixel) {
                        join(y, &x[seen..seen + self.channels]);
                    }
                }
            });
    }

    /// Adds each output's gradient to the first input that equals it.
    fn backward(&self, x: &[f32], y: &[f32], output: &[f32], input: &mut [f32]) {
        let input_piece = self.sliding.inputs_per_image() * self.channels;
        let output_piece = self.sliding.outputs_per_image() * self.channels;
        (
            input.par_chunks_mut(input_piece),
            x.par_chunks(input_piece),
            y.par_chunks(output_piece),
            output.par_chunks(output_piece),
        )
            .into_par_iter()
            .for_each(|(input, x, y, output)| self.backward_image(input, x, y, output));
    }

    fn backward_image(&self, input: &mut [f32], x: &[f32], y: &[f32], output: &[f32]) {
        let mut waiting = vec![0.0; self.channels];
        let pixels = y
            .chunks_exact(self.channels)
            .zip(output.chunks_exact(self.channels));
        for (pixel, (largest, gradient)) in pixels.enumerate() {
            waiting.copy_from_slice(gradient);
            for seen in self.seen(pixel) {
                let seen = seen..seen + self.channels;
                hand_back(&mut waiting, &mut input[seen.clone()], &x[seen], largest);
            }
        }
    }

    /// The offsets in the map of the pixels under an output pixel's window.
    fn seen(&self, pixel: usize) -> impl Iterator<Item = usize> + use<> {
        let channels = self.channels;
        self.sliding
            .runs(self.sliding.position(pixel))
            .flat_map(move |run| (run.pixel..).take(run.taps.len()))
            .map(move |pixel| pixel * channels)
    }
}

fn keep_larger(largest: &mut [f32], values: &[f32]) {
    Arch::new().dispatch(|| {
        for (largest, &value) in largest.iter_mut().zip(values) {
            *largest = largest.max(value);
        }
    });
}

/// Moves the pending gradient to each channel whose value is the largest.
fn hand_back(waiting: &mut [f32], input: &mut [f32], x: &[f32], largest: &[f32]) {
    for (((waiting, input), x), largest) in waiting.iter_mut().zip(input).zip(x).zip(largest) {
        if x == largest {
            *input += std::mem::take(waiting);
        }
    }
}
