//! Between dfdx tensors and the plain slices that the CPU kernels work on.

use crate::nn::cpu::scratch::Scratch;
use dfdx::prelude::{Cpu, CpuError, Device, Gradients, Shape, Tensor};
use pulp::Arch;
use rayon::prelude::*;

/// The values of a contiguous tensor, copied in one piece (`as_vec` walks them one by one).
///
/// # Panics
/// If the tensor is not contiguous; see [`contiguous`](crate::nn::tape::contiguous).
pub(crate) fn values<S: Shape, D: Device<f32>, T>(tensor: &Tensor<S, f32, D, T>) -> Vec<f32> {
    use dfdx::prelude::HasShape;
    let mut values = vec![0.0; tensor.shape().num_elements()];
    tensor.copy_into(&mut values);
    values
}

/// [`values`], in a buffer that is used again: those fill a fresh vector with zeros first.
///
/// # Panics
/// As [`values`].
pub(crate) fn scratch<S: Shape, D: Device<f32>, T>(tensor: &Tensor<S, f32, D, T>) -> Scratch {
    use dfdx::prelude::HasShape;
    let mut values = Scratch::of(tensor.shape().num_elements());
    tensor.copy_into(&mut values);
    values
}

/// Takes a tensor's gradient out, so that several can be worked on at once; zeros where there is none yet.
pub(crate) fn take_gradient<S: Shape>(
    gradients: &mut Gradients<f32, Cpu>,
    tensor: &Tensor<S, f32, Cpu>,
) -> Result<Vec<f32>, CpuError> {
    Ok(std::mem::take(&mut **gradients.get_or_alloc_mut(tensor)?))
}

/// Puts back what [`take_gradient`] took.
pub(crate) fn put_gradient<S: Shape>(
    gradients: &mut Gradients<f32, Cpu>,
    tensor: &Tensor<S, f32, Cpu>,
    gradient: Vec<f32>,
) -> Result<(), CpuError> {
    **gradients.get_or_alloc_mut(tensor)? = gradient;
    Ok(())
}

/// `sum += term`, element by element.
#[inline(always)]
pub(crate) fn add(sum: &mut [f32], term: &[f32]) {
    for (sum, term) in sum.iter_mut().zip(term) {
        *sum += term;
    }
}

/// Runs `work` on a thread of the pool. `work` runs parallel operations one after another.
///
/// Called from outside of the pool, each of them would put the caller to sleep and wake it again, which takes as long as
/// an operation of a hundred microseconds. `work` must not wait for another thread that uses the pool: with a single
/// thread both would wait forever.
pub(crate) fn among_threads<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}

/// Values that a thread takes at a time.
const PIECE: usize = 1 << 14;

/// `sums += scale * terms`, on all threads.
pub(crate) fn add_scaled(sums: &mut [f32], terms: &[f32], scale: f32) {
    let pieces = sums.par_chunks_mut(PIECE).zip(terms.par_chunks(PIECE));
    pieces.for_each(|(sums, terms)| {
        Arch::new().dispatch(|| {
            for (sum, term) in sums.iter_mut().zip(terms) {
                *sum += scale * term;
            }
        });
    });
}

/// Columns that a thread takes at a time.
const COLUMNS: usize = 512;

/// Adds all rows of a matrix to `sums`, one after the other: the same bits for any number of threads.
pub(crate) fn add_rows(sums: &mut [f32], rows: &[f32]) {
    let width = sums.len();
    sums.par_chunks_mut(COLUMNS)
        .enumerate()
        .for_each(|(piece, sums)| {
            Arch::new().dispatch(|| {
                for row in rows.chunks_exact(width) {
                    let row = &row[piece * COLUMNS..][..sums.len()];
                    for (sum, value) in sums.iter_mut().zip(row) {
                        *sum += value;
                    }
                }
            });
        });
}

/// Images per piece of a backward pass whose pieces keep sums of their own, added up in order at the end.
///
/// A function of the batch alone, so that the result does not depend on the number of threads.
pub(crate) fn images_per_piece(images: usize) -> usize {
    const PIECES: usize = 16;
    images.div_ceil(PIECES).max(1)
}
