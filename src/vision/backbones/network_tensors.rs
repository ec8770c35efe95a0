//! The tensors of a network in a file of weights, to be copied into another file.

use super::fit::Fit;
use super::{BackboneError, BackboneKind, load};
use crate::vision::weights::{WeightFile, WeightsError};
use std::collections::BTreeMap;

/// A tensor of a network in a file of weights.
#[derive(Clone, Debug)]
pub struct NetworkTensor<'f> {
    file: &'f WeightFile,
    /// Its name in the file.
    stored: String,
    /// Its sides, as stored.
    pub shape: Vec<usize>,
}

impl NetworkTensor<'_> {
    /// Its values in row-major order.
    ///
    /// # Errors
    /// Those of [`WeightFile::get`].
    pub fn values(&self) -> Result<Vec<f32>, WeightsError> {
        self.file.get(&self.stored, &self.shape)
    }
}

impl BackboneKind {
    /// The tensors, by their published names, that a file needs so that the network's layers up to `layer` can be loaded
    /// from it: those of these layers, and as many of the later ones as it takes to recognize the network.
    ///
    /// # Errors
    /// [`BackboneError`] names a layer that the network or the file does not have.
    pub fn tensors_up_to<'f>(
        self,
        file: &'f WeightFile,
        layer: &str,
    ) -> Result<BTreeMap<String, NetworkTensor<'f>>, BackboneError> {
        let fit = Fit::of(self, file)?;
        let chosen = load::choices(self, &fit, Some(layer))?;
        let stages = chosen.into_iter().max().unwrap_or(0) + 1;
        let names = fit
            .architecture
            .tensors(stages.max(fit.architecture.last_default()))
            .map(|(name, _)| name);
        let tensors = names.filter_map(|name| {
            let stored = fit.tensors.stored(name)?;
            let shape = file.shape(&stored)?.to_vec();
            let tensor = NetworkTensor { file, stored, shape };
            Some((name.to_owned(), tensor))
        });
        Ok(tensors.collect())
    }
}
