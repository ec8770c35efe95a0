//! What holds trainable parameters.

use crate::nn::backend::Backend;
use crate::nn::layers::parameter::Parameter;

/// Something with trainable parameters.
pub trait Layer<D: Backend> {
    /// All parameters, always in the same order.
    fn parameters(&self) -> Vec<&Parameter<D>>;

    /// All parameters, to be changed, in the order of [`Layer::parameters`].
    fn parameters_mut(&mut self) -> Vec<&mut Parameter<D>>;
}

/// A parameter on its own.
impl<D: Backend> Layer<D> for Parameter<D> {
    fn parameters(&self) -> Vec<&Parameter<D>> {
        vec![self]
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter<D>> {
        vec![self]
    }
}
