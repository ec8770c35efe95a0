//! Tests of models: their inputs, their normalization and their checkpoints.

use super::*;
use crate::decoders::{DecoderKind, DecoderSettings};
use crate::nn::{Activation, ConvGeometry, ConvLayer, ConvWeights, Convolution};
use crate::vision::backbones::MapShape;
use crate::vision::backbones::small_cnn::SmallCnnSettings;
use crate::vision::features::store::{FeatureDtype, FeatureSpec, FeatureWriter, StoreError};
use crate::vision::preprocess::Preprocessing;
use dfdx::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub(crate) const VOCABULARY: usize = 7; // four special tokens and three words

pub(crate) const SETTINGS: DecoderSettings = DecoderSettings {
    kind: DecoderKind::Inject,
    hidden_size: 8,
    embedding_size: 6,
    tie_embeddings: false,
    dropout: 0.0,
    attention_size: 5,
    doubly_stochastic_weight: 0.0,
    weight_drop: 0.0,
};

pub(crate) fn feature_spec(backbone: &str, channels: usize) -> FeatureSpec {
    FeatureSpec {
        backbone: backbone.into(),
        layer: "fc2".into(),
        weights: "0123".into(),
        preprocessing: Some(Preprocessing::caffe(224)),
        regions: 1,
        variable_regions: false,
        channels,
        dtype: FeatureDtype::F32,
    }
}

pub(crate) fn new_model(encoder: EncoderSpec, kind: DecoderKind, seed: u64) -> Model<Cpu> {
    let spec = ModelSpec {
        encoder,
        decoder: DecoderSettings { kind, ..SETTINGS },
        vocabulary: VOCABULARY,
    };
    Model::new(&Cpu::default(), spec, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap()
}

fn stored() -> EncoderSpec {
    EncoderSpec::Features(feature_spec("vgg16", 5))
}

fn saved(model: &Model<Cpu>) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("best.safetensors");
    save(&path, model, Vec::new(), serde_json::Value::Null).unwrap();
    (directory, path)
}

fn restored(model: &Model<Cpu>) -> Model<Cpu> {
    let (_directory, path) = saved(model);
    Checkpoint::open(&path).unwrap().model(&Cpu::default()).unwrap()
}

/// A small model with large weights, so that its predictions are confident.
pub(crate) fn model_of(kind: DecoderKind, channels: usize, seed: u64) -> Model<Cpu> {
    let mut model = new_model(EncoderSpec::Features(feature_spec("vgg16", channels)), kind, seed);
    for parameter in model.decoder.parameters_mut() {
        parameter.value = parameter.value.clone() * 4.0;
    }
    model
}

/// A model of a grid of four regions with five channels, which another program makes, normalized.
pub(crate) fn model_of_grid(kind: DecoderKind) -> (FeatureSpec, Model<Cpu>) {
    let spec = FeatureSpec {
        preprocessing: None,
        regions: 4,
        dtype: FeatureDtype::F16,
        ..feature_spec("clip", 5)
    };
    let mut model = new_model(EncoderSpec::Features(spec.clone()), kind, 4);
    let features: Vec<f32> = (0..7 * 20).map(|n| (n * n % 17) as f32 * 0.1).collect();
    model.normalize(&ImageInputs::in_memory(features, 20), 7).unwrap();
    (spec, model)
}

/// A model whose fine-tuned layers read a map of 2 x 2 regions with five channels.
pub(crate) fn fine_tuned_model(kind: DecoderKind) -> Model<Cpu> {
    let mut model = new_model(fine_tuned(), kind, 4);
    model.fine_tune(published(), 0.25).unwrap();
    model
}

#[test]
fn checkpoint_keeps_normalization() {
    let mut model = new_model(stored(), SETTINGS.kind, 4);
    let features: Vec<f32> = (0..35).map(|n| (n * n % 17) as f32).collect();
    let before = model.regions::<NoneTape>(features.clone()).unwrap().as_vec();
    let inputs = ImageInputs::in_memory(features.clone(), 5);
    model.normalize(&inputs, 7).unwrap();
    let normalized = model.regions::<NoneTape>(features.clone()).unwrap().as_vec();
    assert_ne!(before, normalized);

    let restored = restored(&model);
    assert_eq!(restored.normalization(), model.normalization());
    assert_eq!(
        restored.regions::<NoneTape>(features).unwrap().as_vec(),
        normalized
    );
}

/// Two convolutions of 1 x 1 over maps of 2 x 2 regions with five channels.
fn published() -> LayerRange {
    let map = |channels| MapShape::new(2, 2, channels);
    let layer = |inputs: usize, outputs: usize| {
        ConvLayer::Convolution(ConvWeights {
            kernel: (0..inputs * outputs).map(|n| (n % 7) as f32 - 3.0).collect(),
            bias: vec![0.5; outputs],
            convolution: Convolution {
                window: ConvGeometry::POINTWISE,
                activation: Activation::None,
            },
        })
    };
    LayerRange {
        input: map(5),
        output: map(3),
        layers: vec![layer(5, 4), layer(4, 3)],
    }
    .with_channel_scale()
}

fn fine_tuned() -> EncoderSpec {
    EncoderSpec::FineTuned {
        features: FeatureSpec {
            regions: 4,
            ..feature_spec("vgg16", 5)
        },
        layers: published().spec(),
    }
}

#[test]
fn padding_is_neither_normalized_nor_encoded() {
    let features = FeatureSpec {
        regions: 3,
        variable_regions: true,
        ..feature_spec("regions", 2)
    };
    let (one, two) = ([1.0, 8.0], [3.0, 4.0, 5.0, 0.0]);
    let rows = [features.row(&one), features.row(&two)].concat();
    let mut model = new_model(EncoderSpec::Features(features), SETTINGS.kind, 4);
    model
        .normalize(&ImageInputs::in_memory(rows.clone(), 7), 2)
        .unwrap();
    let regions = model.regions::<NoneTape>(rows).unwrap();
    assert_eq!(
        regions.shape(),
        (2, 2, 2),
        "no image of the batch has three regions"
    );
    // Channels have the values 1, 3, 5 and 8, 4, 0.
    let unit = 1.5_f32.sqrt();
    let expected = [-unit, unit, 0.0, 0.0, 0.0, 0.0, unit, -unit];
    crate::nn::testing::assert_close(&regions.as_vec(), &expected, 1e-5);
}

#[test]
fn fine_tuned_layers_are_normalized_and_saved() {
    let mut model = fine_tuned_model(SETTINGS.kind);
    let features: Vec<f32> = (0..7 * 20).map(|n| (n * n % 17) as f32).collect();
    let inputs = ImageInputs::in_memory(features.clone(), 20);
    model.normalize(&inputs, 7).unwrap();
    let regions = model.regions::<NoneTape>(features.clone()).unwrap();
    assert_eq!(regions.shape(), (7, 4, 3));
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

    let restored = restored(&model);
    assert_eq!(restored.regions::<NoneTape>(features).unwrap().as_vec(), regions);
}

#[test]
fn min_parameters_is_a_lower_bound_for_every_encoder_and_decoder() {
    for kind in DecoderKind::ALL {
        let small_cnn = EncoderSpec::SmallCnn(SmallCnnSettings::default());
        for encoder in [stored(), fine_tuned(), small_cnn] {
            let model = new_model(encoder, kind, 4);
            let bound = model.spec().min_parameters();
            let shapes = model.parameters().into_iter().map(|parameter| parameter.shape());
            let counted: usize = shapes.map(|(rows, columns)| rows * columns).sum();
            assert!((counted / 8..=counted).contains(&bound), "{bound} of {counted}");
        }
    }
}

mod damaged_checkpoints {
    use super::*;
    use proptest::prelude::*;

    fn checkpoint_of(encoder: EncoderSpec) -> Vec<u8> {
        let (_directory, path) = saved(&new_model(encoder, SETTINGS.kind, 4));
        std::fs::read(path).unwrap()
    }

    fn checkpoint() -> Vec<u8> {
        checkpoint_of(stored())
    }

    /// Whether these bytes are a complete checkpoint.
    fn is_complete(bytes: &[u8]) -> bool {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("best.safetensors");
        std::fs::write(&path, bytes).unwrap();
        Checkpoint::open(&path).is_ok_and(|checkpoint| checkpoint.model(&Cpu::default()).is_ok())
    }

    /// The checkpoint with another value of a key in its header.
    fn with_setting(checkpoint: &[u8], key: &str, value: &str, hostile: &str) -> Vec<u8> {
        let setting = format!("\\\"{key}\\\":{value}");
        let asked = format!("\\\"{key}\\\":{hostile}");
        let at = checkpoint
            .windows(setting.len())
            .position(|window| window == setting.as_bytes());
        let at = at.unwrap_or_else(|| panic!("no {setting} in {}", String::from_utf8_lossy(checkpoint)));
        let length = u64::from_le_bytes(checkpoint[..8].try_into().unwrap());
        let length = length + asked.len() as u64 - setting.len() as u64;
        [
            &length.to_le_bytes(),
            &checkpoint[8..at],
            asked.as_bytes(),
            &checkpoint[at + setting.len()..],
        ]
        .concat()
    }

    /// Sizes whose product overflows, is zero, or needs more memory than there is.
    #[test]
    fn header_with_impossible_sizes_is_rejected() {
        const MOST: &str = "18446744073709551615";
        let small_cnn = EncoderSpec::SmallCnn(SmallCnnSettings {
            size: 16.try_into().unwrap(),
            widths: vec![4.try_into().unwrap()],
        });
        for (encoder, key, value, hostile) in [
            (stored(), "hidden_size", "8", &["99999999999", "0"][..]),
            (stored(), "embedding_size", "6", &[MOST, "0"]),
            (stored(), "vocabulary", "7", &["4000000000", "0"]),
            (stored(), "attention_size", "5", &[MOST, "0"]),
            (stored(), "regions", "1", &[MOST, "0", "4294967296"]),
            (stored(), "channels", "5", &[MOST, "0", "4294967296"]),
            (stored(), "size", "224", &["4294967295", "0"]),
            (
                fine_tuned(),
                "kernel",
                "[5,4]",
                &["[18446744073709551615,0]", "[0,4]", "[5,0]"],
            ),
            (
                fine_tuned(),
                "kernel",
                "[1,1]",
                &["[0,1]", "[9,9]", "[4294967296,4294967296]"],
            ),
            (fine_tuned(), "stride", "1", &["0", MOST]),
            (fine_tuned(), "top", "0", &[MOST, "1"]),
            (fine_tuned(), "height", "2", &[MOST, "0", "4611686018427387904"]),
            (fine_tuned(), "channels", "5", &["6"]),
            (small_cnn.clone(), "size", "16", &["4294967295", "65536"]),
            (
                small_cnn,
                "widths",
                "[4]",
                &["[18446744073709551615]", "[4,4294967296]"],
            ),
        ] {
            let checkpoint = checkpoint_of(encoder);
            assert!(is_complete(&checkpoint));
            for hostile in hostile {
                let bytes = with_setting(&checkpoint, key, value, hostile);
                assert!(!is_complete(&bytes), "{key} {hostile}");
            }
        }
    }

    proptest! {
        #[test]
        fn reader_does_not_panic_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            prop_assert!(!is_complete(&bytes));
        }

        #[test]
        fn reader_does_not_panic_on_damaged_checkpoints(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            length in any::<prop::sample::Index>(),
        ) {
            let mut bytes = checkpoint();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            is_complete(&bytes);
            bytes.truncate(length.index(bytes.len()));
            prop_assert!(!is_complete(&bytes));
        }
    }
}

#[test]
fn incomplete_feature_store_fails_only_if_required() {
    let dataset = tempfile::tempdir().unwrap();
    let store = |name: &str, spec: &FeatureSpec| {
        let directory = dataset.path().join("features").join(name);
        let mut writer = FeatureWriter::open_or_resume(directory, spec.clone()).unwrap();
        writer.append("one", &vec![1.0; spec.row_len()]).unwrap();
        writer
    };
    let (unfinished, finished) = (feature_spec("vgg16", 3), feature_spec("vgg16", 2));
    store("a", &unfinished).flush().unwrap();
    store("b", &finished).finish().unwrap();
    let open = |spec: FeatureSpec| ImageInputs::open(&EncoderSpec::Features(spec), dataset.path(), []);
    assert!(open(finished).is_ok());
    let error = open(unfinished).unwrap_err();
    assert!(
        matches!(error, InputsError::Store(StoreError::Incomplete { .. })),
        "{error}"
    );
}
