//! MobileNetV2 with random weights under torchvision's names.

use std::fs;
use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// Expansion, output channels and repetitions of each group of blocks (Sandler et al. 2018, table 2).
const GROUPS: [(usize, usize, usize); 7] = [
    (1, 16, 1),
    (6, 24, 2),
    (6, 32, 3),
    (6, 64, 4),
    (6, 96, 3),
    (6, 160, 3),
    (6, 320, 1),
];

/// Name, shape and values of a tensor.
pub(super) type NamedTensor = (String, Vec<usize>, Vec<f32>);

/// Writes random weights.
pub(super) fn write_random(path: &Path, seed: u64) {
    write(path, &random(seed));
}

/// Weights that keep the size of activations about the same from layer to layer.
pub(super) fn random(seed: u64) -> Vec<NamedTensor> {
    let mut drawn = Drawn {
        rng: ChaCha8Rng::seed_from_u64(seed),
        tensors: Vec::new(),
    };
    drawn.normalized("features.0.0", "features.0.1", [32, 3, 3, 3]);
    let mut inputs = 32;
    let blocks = GROUPS
        .iter()
        .flat_map(|&(expansion, outputs, count)| std::iter::repeat_n((expansion, outputs), count));
    for ((expansion, outputs), number) in blocks.zip(1..) {
        let block = format!("features.{number}.conv");
        let hidden = inputs * expansion;
        let mut part = 0;
        if expansion > 1 {
            drawn.normalized(
                &format!("{block}.0.0"),
                &format!("{block}.0.1"),
                [hidden, inputs, 1, 1],
            );
            part = 1;
        }
        let depthwise = format!("{block}.{part}");
        drawn.normalized(
            &format!("{depthwise}.0"),
            &format!("{depthwise}.1"),
            [hidden, 1, 3, 3],
        );
        let [project, norm] = [part + 1, part + 2].map(|part| format!("{block}.{part}"));
        drawn.normalized(&project, &norm, [outputs, hidden, 1, 1]);
        inputs = outputs;
    }
    drawn.normalized("features.18.0", "features.18.1", [1280, 320, 1, 1]);
    drawn.tensors
}

/// Writes a file of tensors.
pub(super) fn write(path: &Path, tensors: &[NamedTensor]) {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

struct Drawn {
    rng: ChaCha8Rng,
    tensors: Vec<NamedTensor>,
}

impl Drawn {
    /// A convolution `[outputs, inputs, rows, columns]` and its batch normalization.
    fn normalized(&mut self, layer: &str, norm: &str, shape: [usize; 4]) {
        let [outputs, inputs, rows, columns] = shape;
        let bound = (6.0 / (inputs * rows * columns) as f32).sqrt();
        let kernel = (0..shape.iter().product())
            .map(|_| (self.rng.random::<f32>() * 2.0 - 1.0) * bound)
            .collect();
        self.tensors
            .push((format!("{layer}.weight"), shape.to_vec(), kernel));
        for (part, value) in [
            ("weight", 1.0),
            ("bias", 0.1),
            ("running_mean", 0.0),
            ("running_var", 1.0),
        ] {
            let tensor = (format!("{norm}.{part}"), vec![outputs], vec![value; outputs]);
            self.tensors.push(tensor);
        }
    }
}
