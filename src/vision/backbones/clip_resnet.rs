//! The ResNet-50 of CLIP: A. Radford et al., *Learning Transferable Visual Models From Natural Language Supervision*, 2021
//! (arXiv:2103.00020), section 2.4: three convolutions as the stem, averages in place of strides (He et al. 2018,
//! arXiv:1812.01187), and pooling by attention.
//!
//! `layer4.2` is the grid before the pooling, `attnpool` the vector that is compared with texts. Names are those of OpenAI's
//! and open_clip's models; the text encoder in the same file is not read.
//!
//! Preprocessing: 224 x 224, bicubic, with the mean and deviation of CLIP's own images.

use super::architecture::{Architecture, LayerSpec, Recipe, WeightNames, WindowSpec};
use super::fit::{Published, WeightSource};
use crate::nn::{Activation, PoolDivisor};
use crate::vision::preprocess::{Preprocessing, PreprocessingKind};

pub(super) const SOURCES: &[Published] = &[Published::named(WeightSource::OpenAi)];

const SIZE: u32 = 224;
const BLOCKS: [usize; 4] = [3, 4, 6, 3];
const WIDTH: usize = 64;
const EXPANSION: usize = 4;
/// Channels of a head of attention, and of the embedding.
const HEAD: usize = 64;
const EMBEDDING: usize = 1024;
const EPSILON: f32 = 1e-5;

pub(super) fn architecture(source: WeightSource) -> Architecture {
    let recipe = Recipe::of(PreprocessingKind::Openai, Preprocessing::clip(SIZE));
    let mut architecture = Architecture::new([recipe], &["attnpool", "layer4.2"]);
    for (number, stride, outputs) in [(1, 2, WIDTH / 2), (2, 1, WIDTH / 2), (3, 1, WIDTH)] {
        let layer = convolution(
            "",
            number,
            WindowSpec::symmetric(3, stride),
            outputs,
            Activation::Relu,
        );
        architecture.stage(format!("conv{number}"), [layer]);
    }
    architecture.stage("avgpool", [average(2)]);
    for (stage, blocks) in (1..).zip(BLOCKS) {
        for block in 0..blocks {
            let stride = if stage > 1 && block == 0 { 2 } else { 1 };
            let prefix = format!("layer{stage}.{block}");
            let layers = bottleneck(&prefix, WIDTH << (stage - 1), stride, block == 0);
            architecture.stage(prefix, layers);
        }
    }
    let channels = (WIDTH << 3) * EXPANSION;
    let projections = ["q_proj", "k_proj", "v_proj", "c_proj"];
    let pool = LayerSpec::AttentionPool {
        heads: channels / HEAD,
        positions: "attnpool.positional_embedding".to_owned(),
        projections: Box::new(
            projections.map(|layer| WeightNames::biased(source, &format!("attnpool.{layer}"))),
        ),
        outputs: EMBEDDING,
    };
    architecture.stage("attnpool", [pool]);
    architecture
}

fn average(side: usize) -> LayerSpec {
    LayerSpec::AvgPool {
        window: WindowSpec::valid(side, side),
        divisor: PoolDivisor::Window,
    }
}

/// The convolution of this number in a block.
fn convolution(
    block: &str,
    number: usize,
    window: WindowSpec,
    outputs: usize,
    activation: Activation,
) -> LayerSpec {
    let dot = if block.is_empty() { "" } else { "." };
    let (layer, norm) = (
        format!("{block}{dot}conv{number}"),
        format!("{block}{dot}bn{number}"),
    );
    let weights = WeightNames::normalized_torch(&layer, &norm, EPSILON);
    LayerSpec::convolution(weights, window, outputs, activation)
}

fn bottleneck(block: &str, width: usize, stride: usize, widens: bool) -> Vec<LayerSpec> {
    let shrink = (stride > 1).then(|| average(stride));
    let outputs = width * EXPANSION;
    let mut branch = vec![
        convolution(block, 1, WindowSpec::POINTWISE, width, Activation::Relu),
        convolution(block, 2, WindowSpec::symmetric(3, 1), width, Activation::Relu),
    ];
    branch.extend(shrink.clone());
    branch.push(convolution(
        block,
        3,
        WindowSpec::POINTWISE,
        outputs,
        Activation::None,
    ));
    let widen = widens.then(|| {
        let layer = format!("{block}.downsample");
        let weights = WeightNames::normalized_torch(&format!("{layer}.0"), &format!("{layer}.1"), EPSILON);
        LayerSpec::convolution(weights, WindowSpec::POINTWISE, outputs, Activation::None)
    });
    let shortcut = shrink.into_iter().chain(widen).collect();
    vec![
        LayerSpec::Residual { branch, shortcut },
        LayerSpec::Activation(Activation::Relu),
    ]
}
