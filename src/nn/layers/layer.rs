//! Walking over the trainable parameters of a layer.

use crate::nn::{Backend, Parameter};

/// Something with trainable parameters. Both visits pass every parameter once, in the same order.
pub trait Layer<D: Backend> {
    /// Passes every parameter to `visitor`.
    fn visit<'a>(&'a self, visitor: &mut dyn FnMut(&'a Parameter<D>));

    /// Passes every parameter to `visitor`, for an optimizer or a checkpoint to change.
    fn visit_mut<'a>(&'a mut self, visitor: &mut dyn FnMut(&'a mut Parameter<D>));

    /// All parameters as a list.
    fn parameters(&self) -> Vec<&Parameter<D>> {
        let mut parameters = Vec::new();
        self.visit(&mut |parameter| parameters.push(parameter));
        parameters
    }

    /// All parameters as a list, for an optimizer or a checkpoint to change.
    fn parameters_mut(&mut self) -> Vec<&mut Parameter<D>> {
        let mut parameters = Vec::new();
        self.visit_mut(&mut |parameter| parameters.push(parameter));
        parameters
    }
}

impl<D: Backend> Layer<D> for Parameter<D> {
    fn visit<'a>(&'a self, visitor: &mut dyn FnMut(&'a Self)) {
        visitor(self);
    }

    fn visit_mut<'a>(&'a mut self, visitor: &mut dyn FnMut(&'a mut Self)) {
        visitor(self);
    }
}

/// Implements [`Layer`] for a struct by its fields, which are parameters or layers: `impl_layer!(Linear: weight, bias)`.
///
/// The order of the fields is that of optimizer state in checkpoints.
macro_rules! impl_layer {
    ($layer:ident: $($field:ident),+) => {
        impl<D: $crate::nn::Backend> $crate::nn::Layer<D> for $layer<D> {
            fn visit<'a>(&'a self, visitor: &mut dyn FnMut(&'a $crate::nn::Parameter<D>)) {
                $($crate::nn::Layer::visit(&self.$field, visitor);)+
            }

            fn visit_mut<'a>(&'a mut self, visitor: &mut dyn FnMut(&'a mut $crate::nn::Parameter<D>)) {
                $($crate::nn::Layer::visit_mut(&mut self.$field, visitor);)+
            }
        }
    };
}
pub(crate) use impl_layer;
