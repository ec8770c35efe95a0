//! Backbones with random weights, for those who have no published ones at hand.

use crate::support::Failure;
use cutline::vision::backbone::{Backbone, BackboneError, BackboneKind};
use cutline::vision::weights::{WeightFile, WeightsError, WeightsFault};
use dfdx::prelude::Cpu;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::collections::BTreeMap;
use std::path::Path;

struct Values {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// A backbone up to `layer`, named as in PyTorch.
///
/// What tensors a network has is known to its plan alone, and the loader says what it misses: so it is asked,
/// with an ever longer file, until it is content.
pub(crate) fn backbone(kind: BackboneKind, layer: &str, cpu: &Cpu) -> Result<Backbone<Cpu>, Failure> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("random.safetensors");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    // A name of PyTorch's fashion, by which the loader tells whose tensors these are.
    let mut tensors = BTreeMap::from([("any.weight".to_owned(), Values::random(vec![1], &mut rng))]);
    loop {
        let file = write(&tensors, &path)?;
        let (name, shape) = match Backbone::load(kind, &file, Some(layer), cpu) {
            Err(BackboneError::Weights(WeightsError { fault, .. })) => match fault {
                WeightsFault::Missing { name, .. } => (name, vec![1]),
                WeightsFault::Shape { name, expected, .. } => (name, expected),
                fault => return Err(fault.into()),
            },
            loaded => return Ok(loaded?),
        };
        tensors.insert(name, Values::random(shape, &mut rng));
    }
}

fn write(tensors: &BTreeMap<String, Values>, path: &Path) -> Result<WeightFile, Failure> {
    let views = tensors
        .iter()
        .map(|(name, Values { shape, bytes })| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    std::fs::write(path, safetensors::serialize(views, None)?)?;
    Ok(WeightFile::open(path)?)
}

impl Values {
    /// Kernels as He et al. 2015 start them, so that no layer's outputs grow or vanish: very small numbers
    /// would be slow. Biases and all of batch normalisation are ones.
    fn random(shape: Vec<usize>, rng: &mut ChaCha8Rng) -> Self {
        let inputs: usize = shape.iter().skip(1).product();
        let limit = (6.0 / inputs as f32).sqrt();
        let value = |_| match shape.len() {
            1 => 1.0,
            _ => (rng.random::<f32>() * 2.0 - 1.0) * limit,
        };
        let values = (0..shape.iter().product()).map(value);
        let bytes = values.flat_map(f32::to_le_bytes).collect();
        Self { shape, bytes }
    }
}
