//! Training on the built-in scenes: the losses of the first steps, and after 200 steps.

use super::found::{Check, Failure, OrFail};
use cutline::data::synthetic::{Scene, ScenesSettings};
use cutline::decoders::{CaptionBatch, DecoderKind, DecoderSettings, Regularization};
use cutline::model::{EncoderSpec, Model, ModelSpec};
use cutline::nn::{Adam, AdamSettings, Backend, Taped, random_stream};
use cutline::text::{Cleaning, TokenId, Vocabulary};
use cutline::vision::backbones::small_cnn::SmallCnnSettings;
use dfdx::prelude::Backward;

/// Steps whose losses agree up to rounding.
const ALIKE: usize = 50;

/// Steps after which losses agree only roughly, because every step amplifies rounding.
const STEPS: usize = 200;

/// The losses whose mean is compared at the end.
const LAST: usize = 20;

/// Images of a batch, with one caption each.
const BATCH: usize = 32;

/// Images in total.
const PICTURES: usize = 320;

pub(crate) fn checks<D: Backend>() -> Vec<Check<D>> {
    vec![
        // Another order of sums alone changes these by 1.2e-3.
        Check::new("50 steps of training on scenes", 5e-3, |device| {
            Ok(vec![("losses".into(), train(device, ALIKE)?)])
        }),
        Check::new("200 steps of training on scenes", 5e-2, |device| {
            let losses = train(device, STEPS)?;
            let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
            let (first, last) = (mean(&losses[..LAST]), mean(&losses[STEPS - LAST..]));
            if last > 0.8 * first {
                return Err(format!("nothing is learned: the loss goes from {first} to {last}").into());
            }
            Ok(vec![("loss at the end".into(), vec![last])])
        }),
    ]
}

/// The pixels of an image and the words of its captions.
struct Picture {
    pixels: Vec<f32>,
    captions: Vec<Vec<TokenId>>,
}

fn pictures(settings: &SmallCnnSettings) -> (Vec<Picture>, Vocabulary) {
    let preprocessing = settings.preprocessing();
    let drawn: Vec<(Vec<f32>, Vec<Vec<String>>)> = (0..PICTURES)
        .map(|index| {
            let scene = Scene::new(ScenesSettings::default().seed, index as u64);
            let mut pixels = vec![0.0; preprocessing.pixels_len()];
            preprocessing.write_pixels(&scene.draw(settings.size.get()), &mut pixels);
            let tokens = |caption: String| Cleaning::default().tokens(&caption);
            (pixels, scene.captions().into_iter().map(tokens).collect())
        })
        .collect();
    let words = drawn.iter().flat_map(|(_, captions)| captions).map(Vec::as_slice);
    let vocabulary = Vocabulary::build(words, 1);
    let pictures = drawn.into_iter().map(|(pixels, captions)| Picture {
        pixels,
        captions: captions
            .iter()
            .map(|caption| vocabulary.encode(caption))
            .collect(),
    });
    (pictures.collect(), vocabulary)
}

/// The loss before each step.
fn train<D: Backend>(device: &D, steps: usize) -> Result<Vec<f32>, Failure> {
    let settings = SmallCnnSettings::default();
    let (pictures, vocabulary) = pictures(&settings);
    let spec = ModelSpec {
        encoder: EncoderSpec::SmallCnn(settings),
        decoder: DecoderSettings {
            kind: DecoderKind::Merge,
            hidden_size: 64,
            embedding_size: 64,
            ..DecoderSettings::default()
        },
        vocabulary: vocabulary.len(),
    };
    let mut model = Model::new(device, spec, &mut random_stream(1, "weights", 0)).or_fail()?;
    let mut adam = Adam::new(AdamSettings::default(), model.parameters()).or_fail()?;
    let batches = pictures.chunks(BATCH).cycle();
    let mut losses = Vec::with_capacity(steps);
    for (step, pictures) in batches.take(steps).enumerate() {
        let inputs = pictures
            .iter()
            .flat_map(|picture| picture.pixels.clone())
            .collect();
        let caption = |picture: &'_ Picture| step % picture.captions.len();
        let captions = pictures.iter().enumerate();
        let batch = CaptionBatch::new(
            captions.map(|(image, picture)| (image, picture.captions[caption(picture)].as_slice())),
        );
        let mut stream = random_stream(1, "dropout", step as u64);
        let regularization = Regularization {
            label_smoothing: 0.1,
            dropout: 0.25,
            ..Regularization::none(&mut stream)
        };
        let regions = model.regions::<Taped<D>>(inputs).or_fail()?;
        let loss = model
            .decoder
            .training_loss(regions, &batch, regularization)
            .or_fail()?;
        losses.extend(loss.as_vec());
        let mut gradients = loss.try_backward().or_fail()?;
        adam.update(model.parameters_mut(), &mut gradients, 1e-3)
            .or_fail()?;
    }
    Ok(losses)
}
