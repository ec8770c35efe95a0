//! Files of random weights, for those who have no published ones at hand.

use crate::support::Failure;
use cutline::vision::backbones::{Backbone, BackboneError, BackboneKind};
use cutline::vision::weights::{WeightFile, WeightsErrorKind};
use dfdx::prelude::Cpu;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where a file stays for the next time.
const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");

/// Names of PyTorch's and of Keras' fashion, by which the loader tells whose tensors a file holds.
const FASHIONS: [&str; 2] = ["any.weight", "any/kernel"];

struct Values {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

type Tensors = BTreeMap<String, Values>;

/// What the loader says of a file.
enum Answer {
    Content,
    /// It wants a tensor of this name and, where it says so, of this shape.
    Wants(String, Vec<usize>),
    /// It does not know what to do with files of this fashion.
    Unwilling(Failure),
}

/// A file of weights for a backbone up to `layer`: made once, and kept with all else that is built.
pub(crate) fn file(kind: BackboneKind, layer: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(FOLDER).join(format!("{kind}-{layer}.safetensors"));
    if path.exists() && matches!(ask(kind, layer, &path)?, Answer::Content) {
        return Ok(path);
    }
    let mut unwilling = None;
    for fashion in FASHIONS {
        match make(kind, layer, fashion, &path)? {
            Answer::Unwilling(why) => unwilling = unwilling.or(Some(why)),
            _ => return Ok(path),
        }
    }
    Err(unwilling.unwrap_or_else(|| format!("{kind} knows no names of tensors").into()))
}

/// What tensors a network has is known to its plan alone, and the loader says what it misses: so it is asked,
/// with an ever longer file, until it is content or unwilling.
fn make(kind: BackboneKind, layer: &str, fashion: &str, path: &Path) -> Result<Answer, Failure> {
    let draft = tempfile::NamedTempFile::new_in(FOLDER)?;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut tensors = Tensors::from([(fashion.to_owned(), Values::of(fashion, vec![1], &mut rng))]);
    loop {
        write(&tensors, draft.path())?;
        match ask(kind, layer, draft.path())? {
            Answer::Wants(name, shape) => {
                let values = Values::of(&name, shape, &mut rng);
                tensors.insert(name, values)
            }
            Answer::Content => {
                draft.persist(path)?;
                return Ok(Answer::Content);
            }
            unwilling => return Ok(unwilling),
        };
    }
}

fn ask(kind: BackboneKind, layer: &str, path: &Path) -> Result<Answer, Failure> {
    let file = WeightFile::open(path)?;
    Ok(match Backbone::load(kind, &file, Some(layer), &Cpu::default()) {
        Ok(_) => Answer::Content,
        Err(BackboneError::LayerNotInFile { tensor, .. }) => Answer::Wants(tensor, vec![1]),
        Err(BackboneError::OtherWeights { error, .. }) => match error.kind {
            WeightsErrorKind::Missing { name, .. } => Answer::Wants(name, vec![1]),
            WeightsErrorKind::Shape { name, expected, .. } => Answer::Wants(name, expected),
            kind => Answer::Unwilling(kind.into()),
        },
        Err(error) => Answer::Unwilling(error.into()),
    })
}

fn write(tensors: &Tensors, path: &Path) -> Result<(), Failure> {
    let views = tensors
        .iter()
        .map(|(name, Values { shape, bytes })| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    Ok(std::fs::write(path, safetensors::serialize(views, None)?)?)
}

impl Values {
    /// Kernels as He et al. 2015 start them, or smaller where Keras' order of dimensions hides the inputs; biases and
    /// variances one, means zero. So no layer's outputs grow, and none vanish: very small numbers would be slow.
    fn of(name: &str, shape: Vec<usize>, rng: &mut ChaCha8Rng) -> Self {
        let inputs: usize = shape.iter().skip(1).product();
        let limit = (6.0 / inputs as f32).sqrt();
        let mut value = || match shape.len() {
            1 if name.contains("mean") => 0.0,
            1 => 1.0,
            _ => (rng.random::<f32>() * 2.0 - 1.0) * limit,
        };
        let numbers = shape.iter().product();
        let bytes = (0..numbers).flat_map(|_| value().to_le_bytes()).collect();
        Self { shape, bytes }
    }
}
