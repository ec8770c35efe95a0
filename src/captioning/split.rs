//! Captions for many photos, batch after batch.

use super::inputs::PhotoInputs;
use super::model::Model;
use super::{Hypothesis, SearchSettings, write_at};
use crate::nn::{Backend, DeviceResult};
use std::ops::ControlFlow;

/// Photos captioned at once.
const BATCH: usize = 100;

/// Captions for the photos at `places` of `inputs`: for each, the hypotheses found, best first.
///
/// `progress` is told how many photos are done, and may break off: the captions are then those so far.
///
/// # Errors
/// Those of the device.
pub fn caption_all<D: Backend>(
    model: &Model<D>,
    inputs: &PhotoInputs,
    places: &[usize],
    search: &SearchSettings,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> DeviceResult<D, Vec<Vec<Hypothesis>>> {
    let writer = model.decoder.writer()?;
    let mut captions = Vec::with_capacity(places.len());
    for places in places.chunks(BATCH) {
        let regions = model.regions(inputs.read(places))?;
        captions.extend(write_at(writer.as_ref(), regions, places, search)?);
        if progress(captions.len()).is_break() {
            break;
        }
    }
    Ok(captions)
}
