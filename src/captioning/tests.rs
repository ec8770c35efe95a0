//! Tests of search against all captions there are, and of inputs for images of no data set.

use super::*;
use crate::decoders::{CaptionBatch, DecoderKind, DecoderSettings, DecoderShape, build};
use crate::nn::testing::random_matrix;
use crate::nn::{Activation, Convolution, FrozenLayer, FrozenSums, Window};
use crate::vision::backbones::small_cnn::SmallCnnSettings;
use crate::vision::backbones::{Between, MapShape};
use crate::vision::features::store::{FeatureDtype, FeatureSpec, FeatureWriter, StoreError};
use crate::vision::preprocess::Preprocessing;
use dfdx::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;

pub(super) const VOCABULARY: usize = 7; // four markers and three words

const SETTINGS: DecoderSettings = DecoderSettings {
    kind: DecoderKind::Inject,
    hidden: 8,
    embedding: 6,
    tied: false,
    dropout: 0.0,
    attention: 5,
    coverage: 0.0,
    recurrent_dropout: 0.0,
};

fn feature_spec(backbone: &str, channels: usize) -> FeatureSpec {
    FeatureSpec {
        backbone: backbone.into(),
        layer: "fc2".into(),
        weights: "0123".into(),
        preprocessing: Preprocessing::caffe(224),
        regions: 1,
        channels,
        dtype: FeatureDtype::F32,
    }
}

/// A small model with weights large enough for opinions of its own.
pub(super) fn model_of(kind: DecoderKind, channels: usize, seed: u64) -> Model<Cpu> {
    let spec = ModelSpec {
        encoder: EncoderSpec::Features(feature_spec("vgg16", channels)),
        decoder: DecoderSettings { kind, ..SETTINGS },
        vocabulary: VOCABULARY,
    };
    let mut model = Model::new(&Cpu::default(), spec, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
    for parameter in model.decoder.parameters_mut() {
        parameter.value = parameter.value.clone() * 4.0;
    }
    model
}

/// A small decoder with weights large enough for opinions of its own.
fn decoder() -> Box<dyn Decoder<Cpu>> {
    let shape = DecoderShape {
        channels: 5,
        vocabulary: VOCABULARY,
    };
    let mut decoder = build(
        &Cpu::default(),
        &SETTINGS,
        shape,
        &mut ChaCha8Rng::seed_from_u64(4),
    )
    .unwrap();
    for parameter in decoder.parameters_mut() {
        parameter.value = parameter.value.clone() * 4.0;
    }
    decoder
}

fn regions() -> Regions<Cpu> {
    random_matrix((3, 5), 8).reshape_like(&(3, 1, 5))
}

/// All captions of up to `longest` words, with their log-probabilities by the training loss.
fn all_captions(image: usize, longest: usize) -> Vec<(Vec<TokenId>, f64)> {
    let decoder = decoder();
    let mut captions: Vec<Vec<TokenId>> = vec![vec![]];
    let mut from = 0;
    for _ in 0..longest {
        let to = captions.len();
        for at in from..to {
            for word in 4..VOCABULARY as TokenId {
                captions.push([captions[at].as_slice(), &[word]].concat());
            }
        }
        from = to;
    }
    captions
        .into_iter()
        .map(|words| {
            let batch = CaptionBatch::new([(image, words.as_slice())]);
            let loss = decoder.loss(regions(), &batch).unwrap().as_vec()[0];
            let log_probability = -f64::from(loss) * (words.len() + 1) as f64;
            (words, log_probability)
        })
        .collect()
}

#[test]
fn a_wide_beam_finds_the_likeliest_caption_of_all() {
    let longest = 4;
    let settings = SearchSettings {
        beam: 200,
        length_penalty: 0.0,
        minimum_length: 1,
        // one step more, for the end marker
        maximum_length: longest + 1,
        ..Default::default()
    };
    let found = write_captions(decoder().as_ref(), regions(), &settings).unwrap();
    for (image, found) in found.iter().enumerate() {
        let (words, log_probability) = all_captions(image, longest)
            .into_iter()
            .filter(|(words, _)| !words.is_empty())
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap();
        let best = found
            .iter()
            .find(|hypothesis| hypothesis.tokens.len() <= longest)
            .unwrap();
        assert_eq!(best.tokens, words);
        assert!((best.log_probability - log_probability).abs() < 1e-4);
    }
}

#[test]
fn hypotheses_are_ranked_and_images_independent() {
    let settings = SearchSettings {
        beam: 4,
        maximum_length: 8,
        ..Default::default()
    };
    let together = write_captions(decoder().as_ref(), regions(), &settings).unwrap();
    for (image, together) in together.iter().enumerate() {
        assert!(together.is_sorted_by(|a, b| a.score >= b.score));
        assert_eq!(together.len(), 4);
        let alone = regions().slice((image..image + 1, .., ..));
        let alone = write_captions(decoder().as_ref(), alone, &settings).unwrap();
        let words = |found: &[Hypothesis]| found.iter().map(|h| h.tokens.clone()).collect::<Vec<_>>();
        assert_eq!(words(&alone[0]), words(together));
    }
}

#[test]
fn greedy_takes_the_likeliest_word_each_time() {
    let settings = SearchSettings {
        beam: 1,
        maximum_length: 6,
        minimum_length: 0,
        ..Default::default()
    };
    let found = write_captions(decoder().as_ref(), regions(), &settings).unwrap();
    let writer = decoder().writer().unwrap();
    for (image, found) in found.iter().enumerate() {
        let mut state = writer.start(regions()).unwrap().select(&[image]).unwrap();
        let (mut words, mut read) = (vec![], crate::text::START);
        while words.len() < 6 {
            let (logits, after) = writer.step(state, &[read]).unwrap();
            let logits = logits.as_vec();
            let allowed = (0..VOCABULARY).filter(|word| ![0, 1, 3].contains(word));
            read = allowed.max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap() as TokenId;
            state = after;
            if read == crate::text::END {
                break;
            }
            words.push(read);
        }
        assert_eq!(found[0].tokens, words);
    }
}

#[test]
fn lengths_and_repetitions_are_held() {
    for strategy in [Strategy::Beam, Strategy::Sample] {
        let settings = SearchSettings {
            strategy,
            minimum_length: 5,
            maximum_length: 9,
            no_repeat_ngram: 2,
            ..Default::default()
        };
        for hypothesis in write_captions(decoder().as_ref(), regions(), &settings)
            .unwrap()
            .concat()
        {
            let words = &hypothesis.tokens;
            assert!((5..=9).contains(&words.len()), "{words:?}");
            let mut pairs: Vec<_> = words.windows(2).collect();
            pairs.sort_unstable();
            pairs.dedup();
            assert_eq!(pairs.len(), words.len() - 1, "a pair comes twice in {words:?}");
        }
    }
}

#[test]
fn drawing_ends_with_the_last_caption() {
    let settings = SearchSettings {
        strategy: Strategy::Sample,
        maximum_length: 10_000,
        ..Default::default()
    };
    let drawn = write_captions(decoder().as_ref(), regions(), &settings).unwrap();
    assert!(
        drawn
            .concat()
            .iter()
            .all(|hypothesis| hypothesis.tokens.len() < 10_000)
    );
}

#[test]
fn samples_repeat_by_seed_and_follow_the_probabilities() {
    let draw = |seed, top_k| {
        let settings = SearchSettings {
            strategy: Strategy::Sample,
            seed,
            top_k,
            maximum_length: 1,
            ..Default::default()
        };
        write_captions(decoder().as_ref(), regions(), &settings).unwrap()
    };
    assert_eq!(draw(3, 0), draw(3, 0));
    let greedy = SearchSettings {
        beam: 1,
        maximum_length: 1,
        ..Default::default()
    };
    let greedy = write_captions(decoder().as_ref(), regions(), &greedy).unwrap();
    assert_eq!(draw(3, 1)[0][0].tokens, greedy[0][0].tokens);

    let draws = 2000;
    let mut counts = [0usize; VOCABULARY];
    let mut expected = [0f64; VOCABULARY];
    for seed in 0..draws {
        let hypothesis = &draw(seed, 0)[0][0];
        counts[hypothesis.tokens[0] as usize] += 1;
        expected[hypothesis.tokens[0] as usize] = hypothesis.log_probability.exp();
    }
    let total: f64 = expected.iter().sum();
    for (count, expected) in counts.iter().zip(expected) {
        let share = *count as f64 / draws as f64;
        assert!((share - expected / total).abs() < 0.04, "{counts:?}, {expected}");
    }
}

#[test]
fn an_image_has_draws_of_its_own_whatever_it_is_captioned_with() {
    const IMAGES: usize = 230; // more than two batches
    let spec = ModelSpec {
        encoder: EncoderSpec::Features(feature_spec("vgg16", 5)),
        decoder: SETTINGS,
        vocabulary: VOCABULARY,
    };
    let mut model = Model::new(&Cpu::default(), spec, &mut ChaCha8Rng::seed_from_u64(4)).unwrap();
    model.decoder = decoder();
    let alike = ImageInputs::in_memory([0.5, -0.5, 0.25, 0.0, 1.0].repeat(IMAGES), 5);
    let settings = SearchSettings {
        strategy: Strategy::Sample,
        ..SearchSettings::default()
    };
    // Words only: a product of other height may round the log-probabilities otherwise.
    let captions = |places: &[usize]| -> Vec<Vec<TokenId>> {
        let alone = Member {
            model: &model,
            inputs: &alike,
        };
        let found = caption_all(
            &[alone],
            places,
            &Search::by_probability(settings.clone()),
            &mut |_| ControlFlow::Continue(()),
        )
        .unwrap();
        found.into_iter().map(|found| found[0].tokens.clone()).collect()
    };
    let all: Vec<usize> = (0..IMAGES).collect();
    let together = captions(&all);
    assert_eq!(
        captions(&[7, 129, 229])[1..],
        [together[129].clone(), together[229].clone()]
    );
    let next_batch = together.iter().zip(&together[100..]);
    let repeated = next_batch.filter(|(one, next)| one == next).count();
    assert!(
        repeated < 50,
        "{repeated} of 130 captions are those of a hundred images before"
    );
}

mod images_of_no_data_set {
    use super::captioner::Eye;
    use super::*;
    use crate::vision::features::extractor::EncoderError;
    use std::path::Path;

    fn refused(backbone: &str, weights: Option<&Path>) -> CaptionerError {
        let spec = EncoderSpec::Features(feature_spec(backbone, 4096));
        match Eye::of(&spec, weights, &Cpu::default()) {
            Ok(_) => panic!("these weights are not the right ones"),
            Err(error) => error,
        }
    }

    #[test]
    fn weights_other_than_those_of_the_features_are_refused() {
        let error = refused("vgg16", None);
        assert!(
            matches!(&error, CaptionerError::NoWeights { expected, .. } if expected == "0123"),
            "{error}"
        );
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("other.safetensors");
        let error = refused("vgg16", Some(&path)).to_string();
        assert!(
            error.ends_with("where the file has moved, give it with --weights"),
            "{error}"
        );
        let values = [0; 4];
        let tensor = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &values).unwrap();
        std::fs::write(
            &path,
            safetensors::serialize([("x/kernel", tensor)], None).unwrap(),
        )
        .unwrap();
        let error = refused("vgg16", Some(&path));
        let hash = blake3::hash(&std::fs::read(&path).unwrap()).to_hex().to_string();
        assert!(
            matches!(&error, CaptionerError::Encoder(EncoderError::OtherWeights { found, .. }) if *found == hash),
            "{error}"
        );
        assert!(matches!(
            refused("vgg61", Some(&path)),
            CaptionerError::Encoder(EncoderError::UnknownBackbone(_))
        ));
    }
}

#[test]
fn a_checkpoint_keeps_how_features_were_standardized() {
    let spec = ModelSpec {
        encoder: EncoderSpec::Features(feature_spec("vgg16", 5)),
        decoder: SETTINGS,
        vocabulary: VOCABULARY,
    };
    let device = Cpu::default();
    let mut model = Model::new(&device, spec, &mut ChaCha8Rng::seed_from_u64(4)).unwrap();
    let features: Vec<f32> = (0..35).map(|n| (n * n % 17) as f32).collect();
    let before = model.regions::<NoneTape>(features.clone()).unwrap().as_vec();
    let inputs = ImageInputs::in_memory(features.clone(), 5);
    model.standardize(&inputs, 7).unwrap();
    let standardized = model.regions::<NoneTape>(features.clone()).unwrap().as_vec();
    assert_ne!(before, standardized);

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("best.safetensors");
    save(&path, &model, Vec::new(), serde_json::Value::Null).unwrap();
    let restored = Checkpoint::open(&path).unwrap().model(&device).unwrap();
    assert_eq!(restored.standardization(), model.standardization());
    assert_eq!(
        restored.regions::<NoneTape>(features).unwrap().as_vec(),
        standardized
    );
}

/// Two convolutions of 1 x 1 over maps of 2 x 2 regions with five channels.
fn published() -> Between {
    let map = |channels| MapShape {
        height: 2,
        width: 2,
        channels,
    };
    let layer = |inputs: usize, outputs: usize| {
        FrozenLayer::Convolution(FrozenSums {
            kernel: (0..inputs * outputs).map(|n| (n % 7) as f32 - 3.0).collect(),
            bias: vec![0.5; outputs],
            convolution: Convolution {
                window: Window::POINTWISE,
                activation: Activation::None,
            },
        })
    };
    Between {
        input: map(5),
        output: map(3),
        layers: vec![layer(5, 4), layer(4, 3)],
    }
    .with_scale()
}

fn fine_tuned() -> EncoderSpec {
    EncoderSpec::FineTuned {
        features: FeatureSpec {
            regions: 4,
            ..feature_spec("vgg16", 5)
        },
        tail: published().spec(),
    }
}

#[test]
fn layers_that_are_trained_further_give_one_scale_and_are_kept() {
    let spec = ModelSpec {
        encoder: fine_tuned(),
        decoder: SETTINGS,
        vocabulary: VOCABULARY,
    };
    let device = Cpu::default();
    let mut model = Model::new(&device, spec, &mut ChaCha8Rng::seed_from_u64(4)).unwrap();
    model.fine_tune(published(), 0.25).unwrap();
    let features: Vec<f32> = (0..7 * 20).map(|n| (n * n % 17) as f32).collect();
    let inputs = ImageInputs::in_memory(features.clone(), 20);
    model.standardize(&inputs, 7).unwrap();
    let regions = model.regions::<NoneTape>(features.clone()).unwrap();
    assert_eq!(*regions.shape(), (7, 4, 3));
    let regions = regions.as_vec();
    for channel in 0..3 {
        let values: Vec<f32> = regions.iter().skip(channel).step_by(3).copied().collect();
        let moment = |power| values.iter().map(|x| x.powi(power)).sum::<f32>() / values.len() as f32;
        assert!(
            moment(1).abs() < 1e-4 && (moment(2) - 1.0).abs() < 1e-3,
            "{values:?}"
        );
    }
    let rates = |model: &Model<Cpu>| -> Vec<f32> { model.parameters().iter().map(|p| p.rate).collect() };
    assert_eq!(rates(&model)[..7], [0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 1.0]);

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("best.safetensors");
    save(&path, &model, Vec::new(), serde_json::Value::Null).unwrap();
    let restored = Checkpoint::open(&path).unwrap().model(&device).unwrap();
    assert_eq!(restored.regions::<NoneTape>(features).unwrap().as_vec(), regions);
}

#[test]
fn the_size_of_a_model_is_known_before_it_is_made() {
    let device = Cpu::default();
    for kind in DecoderKind::ALL {
        for encoder in [
            EncoderSpec::Features(feature_spec("vgg16", 5)),
            fine_tuned(),
            EncoderSpec::SmallCnn(SmallCnnSettings::default()),
        ] {
            let spec = ModelSpec {
                encoder,
                decoder: DecoderSettings { kind, ..SETTINGS },
                vocabulary: VOCABULARY,
            };
            let expected = spec.size::<Cpu>();
            let model = Model::new(&device, spec, &mut ChaCha8Rng::seed_from_u64(4)).unwrap();
            let shapes = model.parameters().into_iter().map(|parameter| parameter.shape());
            assert_eq!(
                shapes.map(|(rows, columns)| rows * columns).sum::<usize>(),
                expected
            );
        }
    }
}

mod damaged_checkpoints {
    use super::*;
    use proptest::prelude::*;

    fn checkpoint() -> Vec<u8> {
        let spec = ModelSpec {
            encoder: EncoderSpec::Features(feature_spec("vgg16", 5)),
            decoder: SETTINGS,
            vocabulary: VOCABULARY,
        };
        let model = Model::new(&Cpu::default(), spec, &mut ChaCha8Rng::seed_from_u64(4)).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("best.safetensors");
        save(&path, &model, Vec::new(), serde_json::Value::Null).unwrap();
        std::fs::read(path).unwrap()
    }

    /// Whether these bytes are a checkpoint with all its weights. Must not panic, whatever they are.
    fn is_whole(bytes: &[u8]) -> bool {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("best.safetensors");
        std::fs::write(&path, bytes).unwrap();
        Checkpoint::open(&path).is_ok_and(|checkpoint| checkpoint.model(&Cpu::default()).is_ok())
    }

    #[test]
    fn a_header_that_asks_for_more_than_the_file_holds_gets_no_room() {
        let bytes = checkpoint();
        assert!(is_whole(&bytes));
        let header = String::from_utf8_lossy(&bytes).into_owned();
        for (setting, asked) in [
            ("\\\"hidden\\\":8", "\\\"hidden\\\":99999999999"),
            ("\\\"embedding\\\":6", "\\\"embedding\\\":18446744073709551615"),
            ("\\\"vocabulary\\\":7", "\\\"vocabulary\\\":4000000000"),
        ] {
            assert!(header.contains(setting), "{header}");
            let length =
                u64::from_le_bytes(bytes[..8].try_into().unwrap()) + (asked.len() - setting.len()) as u64;
            let at = bytes
                .windows(setting.len())
                .position(|window| window == setting.as_bytes())
                .unwrap();
            let hostile = [
                &length.to_le_bytes(),
                &bytes[8..at],
                asked.as_bytes(),
                &bytes[at + setting.len()..],
            ]
            .concat();
            assert!(!is_whole(&hostile), "{asked}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_fail(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            prop_assert!(!is_whole(&bytes));
        }

        #[test]
        fn no_change_of_a_checkpoint_makes_the_reader_fail(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            length in any::<prop::sample::Index>(),
        ) {
            let mut bytes = checkpoint();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            is_whole(&bytes);
            bytes.truncate(length.index(bytes.len()));
            prop_assert!(!is_whole(&bytes));
        }
    }
}

#[test]
fn features_in_the_making_are_in_nobodys_way_but_those_who_want_them() {
    let data_set = tempfile::tempdir().unwrap();
    let store = |name: &str, spec: &FeatureSpec| {
        let directory = data_set.path().join("features").join(name);
        let mut writer = FeatureWriter::open_or_resume(directory, spec.clone()).unwrap();
        writer.append("one", &vec![1.0; spec.row_len()]).unwrap();
        writer
    };
    let (unfinished, finished) = (feature_spec("vgg16", 3), feature_spec("vgg16", 2));
    store("a", &unfinished).flush().unwrap();
    store("b", &finished).finish().unwrap();
    let open = |spec: FeatureSpec| ImageInputs::open(&EncoderSpec::Features(spec), data_set.path(), []);
    assert!(open(finished).is_ok());
    let error = open(unfinished).unwrap_err();
    assert!(
        matches!(error, InputsError::Store(StoreError::Incomplete { .. })),
        "{error}"
    );
}
