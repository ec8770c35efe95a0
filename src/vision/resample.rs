//! Resampling of images, bit-identical to Pillow's `Image.resize`: `NEAREST`, `BILINEAR` and `BICUBIC`.
//!
//! Pillow 13 resamples the columns of some tall images before their rows; here rows are always first, as in all earlier
//! versions.
//!
//! A difference of 1 in 255 is invisible, but a deep CNN amplifies it: with such differences, the features of
//! EfficientNet-Lite1 have a cosine of 0.9994 to those of the published code.

use image::RgbImage;

/// Channels of a pixel.
const CHANNELS: usize = 3;

/// The number of fractional bits of weights: 32 minus 8 for the value and 2 for sign and overshoot of the sum.
const FRACTION: u32 = 22;

/// A function of the distance in pixels, zero from `reach` on.
#[derive(Clone, Copy)]
pub(super) struct ResamplingKernel {
    reach: f64,
    weight: fn(f64) -> f64,
}

/// A triangle.
pub(super) const BILINEAR: ResamplingKernel = ResamplingKernel {
    reach: 1.0,
    weight: |distance| 1.0 - distance,
};

/// Cubic convolution with a = -1/2 (Keys 1981, equation 15).
pub(super) const BICUBIC: ResamplingKernel = ResamplingKernel {
    reach: 2.0,
    weight: |distance| {
        const A: f64 = -0.5;
        if distance < 1.0 {
            ((A + 2.0) * distance - (A + 3.0)) * distance * distance + 1.0
        } else {
            (((distance - 5.0) * distance + 8.0) * distance - 4.0) * A
        }
    },
};

/// Resizes the image to `width` x `height`; each pixel is that of the image under its center.
pub(super) fn nearest(image: &RgbImage, (width, height): (u32, u32)) -> RgbImage {
    let under = |from: u32, to: u32| {
        let step = f64::from(from) / f64::from(to);
        // Pillow adds up steps, whose rounding decides where a center falls between two pixels.
        let centers = std::iter::successors(Some(step * 0.5), move |center| Some(center + step));
        let pixels = centers.map(move |center| (center as u32).min(from - 1));
        pixels.take(to as usize).collect::<Vec<_>>()
    };
    let (columns, rows) = (under(image.width(), width), under(image.height(), height));
    RgbImage::from_fn(width, height, |x, y| {
        *image.get_pixel(columns[x as usize], rows[y as usize])
    })
}

/// Resizes the image to `width` x `height`: first the rows are resampled and rounded, then the columns.
///
/// The kernel is as wide as pixels of the image, or of the result if those are larger (antialiasing).
pub(super) fn with_kernel(
    image: &RgbImage,
    (width, height): (u32, u32),
    kernel: ResamplingKernel,
) -> RgbImage {
    let rows_done = if image.width() == width {
        image.clone()
    } else {
        resample_rows(image, width, kernel)
    };
    if rows_done.height() == height {
        rows_done
    } else {
        resample_columns(&rows_done, height, kernel)
    }
}

fn resample_rows(image: &RgbImage, width: u32, kernel: ResamplingKernel) -> RgbImage {
    let taps = taps(image.width(), width, kernel);
    let mut result = RgbImage::new(width, image.height());
    let row = image.width() as usize * CHANNELS;
    let rows = image.as_raw().chunks_exact(row);
    for (row, out) in rows.zip(result.chunks_exact_mut(width as usize * CHANNELS)) {
        let pixels = row.as_chunks::<CHANNELS>().0;
        for (taps, out) in taps.iter().zip(out.as_chunks_mut::<CHANNELS>().0) {
            let mut sums = [HALF; CHANNELS];
            for (pixel, weight) in pixels[taps.first..].iter().zip(&taps.weights) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(value) * weight;
                }
            }
            *out = sums.map(rounded);
        }
    }
    result
}

fn resample_columns(image: &RgbImage, height: u32, kernel: ResamplingKernel) -> RgbImage {
    let taps = taps(image.height(), height, kernel);
    let mut result = RgbImage::new(image.width(), height);
    let row = image.width() as usize * CHANNELS;
    let mut sums = vec![0; row];
    for (taps, out) in taps.iter().zip(result.chunks_exact_mut(row)) {
        sums.fill(HALF);
        let rows = image.as_raw()[taps.first * row..].chunks_exact(row);
        for (values, weight) in rows.zip(&taps.weights) {
            for (sum, &value) in sums.iter_mut().zip(values) {
                *sum += i32::from(value) * weight;
            }
        }
        for (out, &sum) in out.iter_mut().zip(&sums) {
            *out = rounded(sum);
        }
    }
    result
}

/// The start value of sums, so that truncation rounds them.
const HALF: i32 = 1 << (FRACTION - 1);

fn rounded(sum: i32) -> u8 {
    (sum >> FRACTION).clamp(0, 255) as u8
}

/// The weights of the pixels that contribute to a pixel of the result.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// The taps of every pixel along an axis.
fn taps(from: u32, to: u32, kernel: ResamplingKernel) -> Vec<Taps> {
    let scale = f64::from(from) / f64::from(to);
    let stretch = scale.max(1.0);
    let reach = kernel.reach * stretch;
    let whole = |position: f64| (position + 0.5).max(0.0) as u32;
    (0..to)
        .map(|pixel| {
            let center = (f64::from(pixel) + 0.5) * scale;
            let range = whole(center - reach)..whole(center + reach).min(from);
            let weight = |source: u32| {
                let distance = ((f64::from(source) + 0.5 - center) * (1.0 / stretch)).abs();
                if distance < kernel.reach {
                    (kernel.weight)(distance)
                } else {
                    0.0
                }
            };
            let total: f64 = range.clone().map(weight).sum();
            let fixed = |weight: f64| (weight / total * f64::from(1 << FRACTION)).round() as i32;
            Taps {
                first: range.start as usize,
                weights: range.map(|source| fixed(weight(source))).collect(),
            }
        })
        .collect()
}
