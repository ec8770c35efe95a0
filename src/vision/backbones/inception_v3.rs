//! Inception v3: C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens & Z. Wojna, *Rethinking the Inception Architecture for Computer
//! Vision*, 2015 (arXiv:1512.00567), table 1 and figures 5 to 7 and 10.
//!
//! Averages at the edge of a map count the padding in PyTorch, and do not in Keras. The layers of Keras' network have no names
//! but numbers.
//!
//! Preprocessing: 299 x 299, `x / 127.5 - 1`; torchvision's network turns its usual mean and deviation into that
//! (`transform_input`).

use super::architecture::{
    Architecture, BatchNormNames, BiasOrNorm, LayerSpec, PaddingMode, Recipe, WeightNames, WindowSpec,
};
use super::fit::{Published, WeightSource};
use super::inverted_residual::add_classifier;
use crate::nn::{Activation, PoolDivisor};
use crate::vision::preprocess::{Interpolation, Preprocessing, PreprocessingKind};

pub(super) const SOURCES: &[Published] = &[
    Published {
        unused: &["fc.*"],
        ..Published::named(WeightSource::Torchvision)
    },
    Published {
        unused: &["predictions*"],
        ..Published::named(WeightSource::KerasNumbered)
    },
];

const SIZE: u32 = 299;
const EPSILON: f32 = 1e-3;

/// The window of a convolution.
#[derive(Clone, Copy)]
enum Shape {
    /// A square that keeps the size of the map.
    Square(usize),
    /// A row of this many pixels.
    Row(usize),
    /// A column.
    Column(usize),
    /// A square of three pixels that halves the map, without padding.
    Halving,
}
use Shape::{Column, Halving, Row, Square};

impl Shape {
    fn window(self) -> WindowSpec {
        let of = |height, width| WindowSpec {
            kernel: (height, width),
            stride: 1,
            padding: PaddingMode::Symmetric,
        };
        match self {
            Square(size) => WindowSpec::symmetric(size, 1),
            Row(size) => of(1, size),
            Column(size) => of(size, 1),
            Halving => WindowSpec::valid(3, 2),
        }
    }
}

/// A convolution: its name in PyTorch, its window and channels.
type Convolution = (&'static str, Shape, usize);

/// The branches of a block after each other in the channels.
struct Mixed {
    /// In torchvision's and in Keras' network.
    names: (&'static str, &'static str),
    branches: Vec<Branch>,
}

enum Branch {
    Convolutions(Vec<Convolution>),
    /// Convolutions, and two of the last one's output side by side.
    Fork(Vec<Convolution>, [Convolution; 2]),
    /// A convolution of averages.
    Average(usize),
    /// A maximum that halves the map.
    Maximum,
}
use Branch::{Average, Convolutions, Fork, Maximum};

/// The stem: its convolutions, with a maximum after the third and the last.
const STEM: [(&str, WindowSpec, usize); 5] = [
    ("Conv2d_1a_3x3", WindowSpec::valid(3, 2), 32),
    ("Conv2d_2a_3x3", WindowSpec::valid(3, 1), 32),
    ("Conv2d_2b_3x3", WindowSpec::symmetric(3, 1), 64),
    ("Conv2d_3b_1x1", WindowSpec::valid(1, 1), 80),
    ("Conv2d_4a_3x3", WindowSpec::valid(3, 1), 192),
];

const HALVE: WindowSpec = WindowSpec::valid(3, 2);

fn blocks() -> Vec<Mixed> {
    vec![
        narrow(("Mixed_5b", "mixed0"), 32),
        narrow(("Mixed_5c", "mixed1"), 64),
        narrow(("Mixed_5d", "mixed2"), 64),
        Mixed {
            names: ("Mixed_6a", "mixed3"),
            branches: vec![
                Convolutions(vec![("branch3x3", Halving, 384)]),
                Convolutions(vec![
                    ("branch3x3dbl_1", Square(1), 64),
                    ("branch3x3dbl_2", Square(3), 96),
                    ("branch3x3dbl_3", Halving, 96),
                ]),
                Maximum,
            ],
        },
        factorized(("Mixed_6b", "mixed4"), 128),
        factorized(("Mixed_6c", "mixed5"), 160),
        factorized(("Mixed_6d", "mixed6"), 160),
        factorized(("Mixed_6e", "mixed7"), 192),
        Mixed {
            names: ("Mixed_7a", "mixed8"),
            branches: vec![
                Convolutions(vec![
                    ("branch3x3_1", Square(1), 192),
                    ("branch3x3_2", Halving, 320),
                ]),
                Convolutions(vec![
                    ("branch7x7x3_1", Square(1), 192),
                    ("branch7x7x3_2", Row(7), 192),
                    ("branch7x7x3_3", Column(7), 192),
                    ("branch7x7x3_4", Halving, 192),
                ]),
                Maximum,
            ],
        },
        wide(("Mixed_7b", "mixed9")),
        wide(("Mixed_7c", "mixed10")),
    ]
}

/// Figure 5.
fn narrow(names: (&'static str, &'static str), average: usize) -> Mixed {
    Mixed {
        names,
        branches: vec![
            Convolutions(vec![("branch1x1", Square(1), 64)]),
            Convolutions(vec![
                ("branch5x5_1", Square(1), 48),
                ("branch5x5_2", Square(5), 64),
            ]),
            Convolutions(vec![
                ("branch3x3dbl_1", Square(1), 64),
                ("branch3x3dbl_2", Square(3), 96),
                ("branch3x3dbl_3", Square(3), 96),
            ]),
            Average(average),
        ],
    }
}

/// Figure 6, with these channels within the branches.
fn factorized(names: (&'static str, &'static str), within: usize) -> Mixed {
    Mixed {
        names,
        branches: vec![
            Convolutions(vec![("branch1x1", Square(1), 192)]),
            Convolutions(vec![
                ("branch7x7_1", Square(1), within),
                ("branch7x7_2", Row(7), within),
                ("branch7x7_3", Column(7), 192),
            ]),
            Convolutions(vec![
                ("branch7x7dbl_1", Square(1), within),
                ("branch7x7dbl_2", Column(7), within),
                ("branch7x7dbl_3", Row(7), within),
                ("branch7x7dbl_4", Column(7), within),
                ("branch7x7dbl_5", Row(7), 192),
            ]),
            Average(192),
        ],
    }
}

/// Figure 7.
fn wide(names: (&'static str, &'static str)) -> Mixed {
    Mixed {
        names,
        branches: vec![
            Convolutions(vec![("branch1x1", Square(1), 320)]),
            Fork(
                vec![("branch3x3_1", Square(1), 384)],
                [("branch3x3_2a", Row(3), 384), ("branch3x3_2b", Column(3), 384)],
            ),
            Fork(
                vec![
                    ("branch3x3dbl_1", Square(1), 448),
                    ("branch3x3dbl_2", Square(3), 384),
                ],
                [
                    ("branch3x3dbl_3a", Row(3), 384),
                    ("branch3x3dbl_3b", Column(3), 384),
                ],
            ),
            Average(192),
        ],
    }
}

pub(super) fn architecture(source: WeightSource) -> Architecture {
    let usual = Preprocessing::symmetric(SIZE);
    let recipe = match source {
        WeightSource::KerasNumbered => {
            Recipe::of(PreprocessingKind::Keras, usual.with(Interpolation::Nearest))
        }
        _ => Recipe::of(PreprocessingKind::Torchvision, usual.shorter_side(342)),
    };
    let mut architecture = Architecture::new([recipe], &["mixed10"]);
    let mut names = InceptionNames { source, number: 0 };
    for (index, (name, window, outputs)) in STEM.into_iter().enumerate() {
        architecture.stage(name, [names.convolution(name, window, outputs)]);
        if let Some(pool) = [2, 4].iter().position(|last| *last == index) {
            architecture.stage(format!("maxpool{}", pool + 1), [LayerSpec::MaxPool(HALVE)]);
        }
    }
    for block in blocks() {
        let branches = block.branches.iter();
        let branches = branches
            .map(|branch| names.branch(block.names.0, branch))
            .collect();
        architecture.stage(block.names.1, [LayerSpec::Concat(branches)]);
    }
    let classifier = match source {
        WeightSource::KerasNumbered => "predictions",
        _ => "fc",
    };
    add_classifier(&mut architecture, WeightNames::biased(source, classifier));
    architecture
}

/// The names of tensors at a source, in the order of layers.
struct InceptionNames {
    source: WeightSource,
    /// Convolutions so far.
    number: usize,
}

impl InceptionNames {
    fn branch(&mut self, block: &str, branch: &Branch) -> Vec<LayerSpec> {
        let mut convolution = |(name, shape, outputs): Convolution| {
            self.convolution(&format!("{block}.{name}"), shape.window(), outputs)
        };
        match branch {
            Convolutions(convolutions) => convolutions.iter().copied().map(convolution).collect(),
            Fork(convolutions, ends) => {
                let mut layers: Vec<LayerSpec> = convolutions.iter().copied().map(&mut convolution).collect();
                layers.push(LayerSpec::Concat(ends.map(|end| vec![convolution(end)]).into()));
                layers
            }
            Average(outputs) => {
                let convolution = convolution(("branch_pool", Square(1), *outputs));
                let divisor = match self.source {
                    WeightSource::KerasNumbered => PoolDivisor::Pixels,
                    _ => PoolDivisor::Window,
                };
                let window = WindowSpec::symmetric(3, 1);
                vec![LayerSpec::AvgPool { window, divisor }, convolution]
            }
            Maximum => vec![LayerSpec::MaxPool(HALVE)],
        }
    }

    fn convolution(&mut self, name: &str, window: WindowSpec, outputs: usize) -> LayerSpec {
        self.number += 1;
        let weights = match self.source {
            WeightSource::KerasNumbered => {
                let norm = format!("batch_normalization_{}", self.number);
                let norm = BatchNormNames {
                    gamma: None,
                    ..BatchNormNames::keras(&norm, EPSILON)
                };
                WeightNames {
                    kernel: format!("conv2d_{}/kernel", self.number),
                    bias: BiasOrNorm::BatchNorm(norm),
                }
            }
            _ => WeightNames::normalized_torch(&format!("{name}.conv"), &format!("{name}.bn"), EPSILON),
        };
        LayerSpec::convolution(weights, window, outputs, Activation::Relu)
    }
}
