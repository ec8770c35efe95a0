//! Captions for many images, batch after batch.

use super::ensemble::{Beginning, Member};
use super::{Hypothesis, Search, write_at};
use crate::decoders::Writer;
use crate::nn::{Backend, DeviceResult};
use std::ops::ControlFlow;

/// Images captioned at once.
const BATCH: usize = 100;

/// Captions that the members write together for the images at `places` of their inputs: for each image, the hypotheses
/// found, best first.
///
/// `progress` is told how many images are done, and may break off: the captions are then those so far.
///
/// # Errors
/// Those of the device.
///
/// # Panics
/// Where the members' vocabularies differ in size.
pub fn caption_all<D: Backend>(
    members: &[Member<'_, D>],
    places: &[usize],
    search: &Search,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> DeviceResult<D, Vec<Vec<Hypothesis>>> {
    let writers = members
        .iter()
        .map(|member| member.model.decoder.writer())
        .collect::<DeviceResult<D, Vec<_>>>()?;
    let mut captions = Vec::with_capacity(places.len());
    for places in places.chunks(BATCH) {
        let with_writers = members.iter().zip(&writers);
        let beginnings = with_writers
            .map(|(member, writer)| begin(member, writer.as_ref(), places))
            .collect::<DeviceResult<D, _>>()?;
        captions.extend(write_at(beginnings, places, search)?);
        if progress(captions.len()).is_break() {
            break;
        }
    }
    Ok(captions)
}

fn begin<'w, D: Backend>(
    member: &Member<'_, D>,
    writer: &'w dyn Writer<D>,
    places: &[usize],
) -> DeviceResult<D, Beginning<'w, D>> {
    let regions = member.model.regions(member.inputs.read(places))?;
    Ok((writer, regions))
}
