//! The encoder's graph: from pixels to the decoder's regions and its state before the first word.

use super::OnnxError;
use super::decoder::DecoderGraph;
use super::graph::{Dimension, GraphBuilder, IMAGES, REGIONS, Value};
use super::messages::{ElementType, ModelProto};
use super::network;
use crate::model::{EncoderSpec, FeatureNormalization, Model};
use crate::nn::Backend;
use crate::vision::backbones::LayerRange;
use crate::vision::features::store::{FeatureDtype, FeatureSpec};
use crate::vision::preprocess::{ChannelOrder, Normalization, Preprocessing};

/// The input of a graph that reads images: `[images, height, width, 3]`, red, green and blue from 0 to 255.
pub(super) const PIXELS: &str = "pixels";
/// The regions that the decoder reads, normalized: `[images, regions, channels]`. Also the input of a graph without a network,
/// where they are those of another program.
pub(super) const FEATURES: &str = "features";

/// `published` are the layers whose output the features are.
pub(super) fn graph<D: Backend>(
    model: &Model<D>,
    decoder: &DecoderGraph<'_, D>,
    published: Option<&LayerRange>,
) -> Result<ModelProto, OnnxError> {
    let mut graph = GraphBuilder::new("encoder");
    let features = match (&model.spec().encoder, published) {
        (EncoderSpec::SmallCnn(settings), _) => {
            let pixels = pixels(&mut graph, &settings.preprocessing());
            let map = network::layers(&mut graph, &model.trained_layers(), &pixels);
            let map = channels_last(&mut graph, &map);
            // One region that holds all pixels, so that positions are kept.
            graph.reshape(&map, &[0, 1, decoder.channels() as i64])
        }
        (EncoderSpec::Features(spec), None) if spec.is_made_elsewhere() => {
            let shape = [IMAGES, REGIONS, Dimension::Fixed(spec.channels)];
            let features = graph.input(FEATURES, ElementType::F32, &shape);
            as_stored(&mut graph, spec, &features)
        }
        (EncoderSpec::Features(spec), Some(published)) => {
            let map = stored(&mut graph, spec, published)?;
            as_regions(&mut graph, &map, spec.channels)
        }
        (EncoderSpec::FineTuned { features, layers }, Some(published)) => {
            let map = stored(&mut graph, features, published)?;
            let map = network::layers(&mut graph, &model.trained_layers(), &map);
            as_regions(&mut graph, &map, layers.output.channels)
        }
        (EncoderSpec::Features(_) | EncoderSpec::FineTuned { .. }, None) => return Err(OnnxError::NoNetwork),
    };
    let features = match model.normalization() {
        Some(FeatureNormalization { mean, scale }) => {
            let (mean, scale) = (graph.numbers(mean), graph.numbers(scale));
            let centered = graph.node("Sub", &[&features, &mean]);
            graph.node("Mul", &[&centered, &scale])
        }
        None => features,
    };
    let is_input = published.is_none() && model.spec().encoder.is_made_elsewhere();
    let name = if is_input { "normalized_features" } else { FEATURES };
    let shape = [IMAGES, REGIONS, Dimension::Fixed(decoder.channels())];
    graph.output(name, &features, &shape);
    decoder.start(&mut graph, &features);
    Ok(graph.finish())
}

/// The input, normalized, as `[images, channels, height, width]`.
fn pixels(graph: &mut GraphBuilder, preprocessing: &Preprocessing) -> Value {
    let side = Dimension::Fixed(preprocessing.size as usize);
    let pixels = graph.input(
        PIXELS,
        ElementType::F32,
        &[IMAGES, side, side, Dimension::Fixed(3)],
    );
    let pixels = graph.transpose(&pixels, &[0, 3, 1, 2]);
    let pixels = match preprocessing.channel_order {
        ChannelOrder::Rgb => pixels,
        ChannelOrder::Bgr => graph.reversed_channels(&pixels),
    };
    let Normalization { scale, mean, std } = preprocessing.normalization;
    let scale = graph.scalar(scale);
    let [mean, std] = [mean, std].map(|of_channels| graph.kernel(&[3, 1, 1], &of_channels));
    let scaled = graph.node("Mul", &[&pixels, &scale]);
    let centered = graph.node("Sub", &[&scaled, &mean]);
    graph.node("Div", &[&centered, &std])
}

/// The map of the features, pooled if they are, rounded as they are stored.
fn stored(graph: &mut GraphBuilder, spec: &FeatureSpec, published: &LayerRange) -> Result<Value, OnnxError> {
    let preprocessing = spec.preprocessing.as_ref().ok_or(OnnxError::NoNetwork)?;
    let pixels = pixels(graph, preprocessing);
    let map = network::layers(graph, &published.layers, &pixels);
    let map = match spec.regions {
        1 if published.output.regions() > 1 => graph.node("GlobalAveragePool", &[&map]),
        _ => map,
    };
    Ok(as_stored(graph, spec, &map))
}

fn as_stored(graph: &mut GraphBuilder, spec: &FeatureSpec, features: &str) -> Value {
    match spec.dtype {
        FeatureDtype::F16 => graph.rounded_to_half(features),
        FeatureDtype::F32 => features.to_owned(),
    }
}

fn channels_last(graph: &mut GraphBuilder, map: &str) -> Value {
    graph.transpose(map, &[0, 2, 3, 1])
}

/// `[images, channels, height, width]` to `[images, regions, channels]`.
fn as_regions(graph: &mut GraphBuilder, map: &str, channels: usize) -> Value {
    let map = channels_last(graph, map);
    graph.reshape(&map, &[0, -1, channels as i64])
}
