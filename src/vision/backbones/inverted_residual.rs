//! The block that mobile networks are made of: the inverted residual with a linear bottleneck (Sandler et al.
//! 2018, arXiv:1801.04381, section 3.3 and figure 4d), called MBConv where EfficientNets use it.

use super::architecture::{LayerSpec, SquareWindow, WeightNames};
use crate::nn::Activation;

/// One block's dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvertedResidual {
    /// Channels read.
    pub(super) inputs: usize,
    /// How many times as many channels the depthwise convolution has.
    pub(super) expansion: usize,
    /// Of the depthwise convolution.
    pub(super) window: SquareWindow,
    /// Channels written.
    pub(super) outputs: usize,
}

/// Where its convolutions' numbers are to be found.
pub(super) struct BlockWeights {
    /// Not used where there is nothing to expand.
    pub(super) expand: WeightNames,
    pub(super) depthwise: WeightNames,
    pub(super) project: WeightNames,
}

impl InvertedResidual {
    /// Expand (where there is anything to expand), convolve depthwise, project without a rectifier; around it all
    /// a shortcut where the shapes allow.
    pub(super) fn layers(self, weights: BlockWeights) -> Vec<LayerSpec> {
        let expand = self.expands().then(|| {
            let outputs = self.inputs * self.expansion;
            LayerSpec::convolution(
                weights.expand,
                SquareWindow::POINTWISE,
                outputs,
                Activation::Relu6,
            )
        });
        let depthwise = LayerSpec::Depthwise {
            weights: weights.depthwise,
            window: self.window,
            activation: Activation::Relu6,
        };
        let project = LayerSpec::convolution(
            weights.project,
            SquareWindow::POINTWISE,
            self.outputs,
            Activation::None,
        );
        let branch = expand.into_iter().chain([depthwise, project]).collect();
        if self.window.stride == 1 && self.inputs == self.outputs {
            vec![LayerSpec::Residual {
                branch,
                shortcut: Vec::new(),
            }]
        } else {
            branch
        }
    }

    /// Whether it has an expanding convolution.
    pub(super) fn expands(self) -> bool {
        self.expansion > 1
    }

    /// timm's names, the same for every network of such blocks.
    pub(super) fn timm_weights(self, place: &str, epsilon: f32) -> BlockWeights {
        let weights = |layer, norm| normalized(place, layer, norm, epsilon);
        let (depthwise, project) = if self.expands() {
            (weights("conv_dw", "bn2"), weights("conv_pwl", "bn3"))
        } else {
            (weights("conv_dw", "bn1"), weights("conv_pw", "bn2"))
        };
        BlockWeights {
            expand: weights("conv_pw", "bn1"),
            depthwise,
            project,
        }
    }
}

/// A convolution and the batch normalization after it, both within `place`.
pub(super) fn normalized(place: &str, layer: &str, norm: &str, epsilon: f32) -> WeightNames {
    WeightNames::normalized_torch(&format!("{place}.{layer}"), &format!("{place}.{norm}"), epsilon)
}
