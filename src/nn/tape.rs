//! Recording fused operations on a tape.

use dfdx::prelude::{Device, Gradients, PutTape, ReshapeTo, Shape, SplitTape, Tape, Tensor};

/// `tensor` without strides or broadcast axes. A copy, if one is necessary, is recorded on `tape`.
pub(crate) fn contiguous<S: Shape, D: Device<f32>, T: Tape<f32, D>>(
    tensor: &Tensor<S, f32, D>,
    tape: &mut T,
) -> Result<Tensor<S, f32, D>, D::Err> {
    let (tensor, copied) = tensor.retaped::<T>().try_contiguous()?.split_tape();
    *tape = std::mem::take(tape).merge(copied);
    Ok(tensor)
}

/// The result `y` of an operation, with its backward pass recorded on `tape`.
pub(crate) fn record<S: Shape, D: Device<f32>, T: Tape<f32, D>>(
    y: Tensor<S, f32, D>,
    mut tape: T,
    backward: impl FnOnce(&mut Gradients<f32, D>, &Tensor<S, f32, D>) -> Result<(), D::Err> + 'static,
) -> Tensor<S, f32, D, T> {
    let result = y.clone();
    tape.add_backward_op(move |gradients| backward(gradients, &y));
    result.put_tape(tape)
}
