//! Captions for the images of a split, batch after batch.

use super::ensemble::{Member, MemberStart};
use super::{Hypothesis, Search, search_at};
use crate::decoders::StepDecoder;
use crate::nn::{Backend, DeviceResult};
use std::ops::ControlFlow;

/// Images captioned at once.
const BATCH: usize = 100;

/// Captions the images at `indices` of the members' inputs with an ensemble. Returns the hypotheses of each image, best
/// first.
///
/// `progress` gets the number of captioned images and may stop the search: the captions so far are returned.
///
/// # Errors
/// Those of the device.
///
/// # Panics
/// If the members' vocabularies differ in size.
pub fn caption_all<D: Backend>(
    members: &[Member<'_, D>],
    indices: &[usize],
    search: &Search,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> DeviceResult<D, Vec<Vec<Hypothesis>>> {
    let decoders = members
        .iter()
        .map(|member| member.model.decoder.inference())
        .collect::<DeviceResult<D, Vec<_>>>()?;
    let mut captions = Vec::with_capacity(indices.len());
    for indices in indices.chunks(BATCH) {
        let with_decoders = members.iter().zip(&decoders);
        let starts = with_decoders
            .map(|(member, decoder)| start(member, decoder.as_ref(), indices))
            .collect::<DeviceResult<D, _>>()?;
        captions.extend(search_at(starts, indices, search)?);
        if progress(captions.len()).is_break() {
            break;
        }
    }
    Ok(captions)
}

fn start<'w, D: Backend>(
    member: &Member<'_, D>,
    decoder: &'w dyn StepDecoder<D>,
    indices: &[usize],
) -> DeviceResult<D, MemberStart<'w, D>> {
    let regions = member.model.regions(member.inputs.read(indices))?;
    Ok((decoder, regions))
}
