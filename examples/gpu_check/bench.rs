//! Speed and GPU memory of extraction and training, beside PyTorch (`scripts/gpu_check_torch.py`) if `python3` has it.
//!
//! Each workload runs in its own process, so that memory is not counted twice.

use super::features::{backbone, file_of, images};
use super::found::{Failure, OrFail, numbers, places};
use cutline::decoders::{CaptionBatch, DecoderKind, DecoderSettings, DecoderShape, Regularization, build};
use cutline::nn::device::DriverCalls;
use cutline::nn::{Adam, AdamSettings, Backend, Images, random_stream};
use cutline::vision::backbones::{Backbone, BackboneKind, FeatureKind};
use cutline::vision::image_io;
use dfdx::prelude::*;
use rayon::prelude::*;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

/// The path of PyTorch's script, set by `scripts/gpu-check`.
const PEER: &str = "CUTLINE_GPU_PEER";

const HIDDEN: usize = 512;
const WORDS: usize = 7337;
const CHANNELS: usize = 512;
/// Regions of an image, for decoders that attend: the last map of VGG16.
const REGIONS: usize = 49;

/// Sizes of the workloads.
struct Size {
    /// Of a batch.
    images: usize,
    /// Of a batch.
    captions: usize,
    /// Rounds before the measurement.
    warm_up: usize,
    most_rounds: usize,
}

#[cfg(feature = "cuda")]
const SIZE: Size = Size {
    images: 64,
    captions: 256,
    warm_up: 3,
    most_rounds: 1000,
};

/// Sizes of a dry run, whose figures mean nothing.
#[cfg(not(feature = "cuda"))]
const SIZE: Size = Size {
    images: 2,
    captions: 8,
    warm_up: 1,
    most_rounds: 1,
};

/// Workloads: name, unit, and goal as a multiple of PyTorch's speed.
const WORKS: [(&str, &str, f64); 6] = [
    ("vgg16", "images", 1.0),
    ("vgg16_from_jpeg", "images", 1.0),
    ("mobilenet_v2", "images", 0.8),
    ("merge", "tokens", 1.0),
    ("inject", "tokens", 1.0),
    ("soft-attention", "tokens", 1.0),
];

/// The figures of a workload.
#[derive(Clone)]
struct Figures {
    per_second: f64,
    /// GPU memory.
    mebibytes: f64,
    /// The rest of the line: calls of the driver in a round.
    calls: String,
}

/// Prints the table.
pub(crate) fn all() -> Result<(), Failure> {
    println!("| work | Cutline | PyTorch | ratio | goal | MiB | PyTorch's MiB | {CALLS} |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (work, unit, goal) in WORKS {
        let ours = figures(Command::new(std::env::current_exe()?).args(["bench", work]));
        let theirs =
            std::env::var_os(PEER).and_then(|peer| figures(Command::new("python3").arg(peer).arg(work)));
        let rate = |figures: &Option<Figures>| {
            figures.as_ref().map_or("not measured".into(), |figures| {
                format!("{:.0} {unit}/s", figures.per_second)
            })
        };
        let memory = |figures: &Option<Figures>| {
            let mebibytes = figures
                .as_ref()
                .map(|figures| format!("{:.0}", figures.mebibytes));
            mebibytes.unwrap_or("-".into())
        };
        let ratio = ours
            .as_ref()
            .zip(theirs.as_ref())
            .map(|(ours, theirs)| ours.per_second / theirs.per_second);
        println!(
            "| {work} | {} | {} | {} | {goal:.1} | {} | {} | {} |",
            rate(&ours),
            rate(&theirs),
            ratio.map_or("-".into(), |ratio| format!("{ratio:.2}")),
            memory(&ours),
            memory(&theirs),
            ours.map_or("-".into(), |figures| figures.calls),
        );
    }
    Ok(())
}

/// The figures in the last line of a process: a rate, mebibytes and, of ours, calls.
fn figures(command: &mut Command) -> Option<Figures> {
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    let words: Vec<&str> = last.split_whitespace().collect();
    let mut numbers = words.iter().take(2).map(|word| word.parse());
    match (numbers.next(), numbers.next()) {
        (Some(Ok(per_second)), Some(Ok(mebibytes))) if output.status.success() => Some(Figures {
            per_second,
            mebibytes,
            calls: words[2..].join(" "),
        }),
        _ => {
            let errors = String::from_utf8_lossy(&output.stderr);
            println!("     {last} {}", errors.lines().last().unwrap_or_default());
            None
        }
    }
}

/// Runs one workload and prints its figures. `rounds` replaces the number of rounds that are measured.
pub(crate) fn one<D: Backend>(work: &str, rounds: Option<usize>, device: &D) -> Result<(), Failure> {
    let before = memory_used();
    let rounds = |usual: usize| rounds.unwrap_or(usual).clamp(1, SIZE.most_rounds);
    let (per_second, calls) = match work {
        "vgg16" => pixels(device, BackboneKind::Vgg16, rounds(20)),
        "mobilenet_v2" => pixels(device, BackboneKind::MobileNetV2, rounds(40)),
        "vgg16_from_jpeg" => from_jpeg(device, BackboneKind::Vgg16, rounds(30)),
        "merge" => training(device, DecoderKind::Merge, rounds(40)),
        "inject" => training(device, DecoderKind::Inject, rounds(40)),
        "soft-attention" => training(device, DecoderKind::SoftAttention, rounds(40)),
        other => Err(format!("unknown workload {other}").into()),
    }?;
    println!("{per_second} {} {calls}", memory_used() - before);
    Ok(())
}

/// What the calls of a round are.
const CALLS: &str = "launches / products / allocations / fills / uploads of a round";

/// The calls since `before`, divided by the rounds.
fn calls_of_a_round(before: DriverCalls, rounds: usize) -> String {
    let after = DriverCalls::so_far();
    let counts = [
        after.launches - before.launches,
        after.products - before.products,
        after.allocations - before.allocations,
        after.fills - before.fills,
        after.uploads - before.uploads,
    ];
    counts.map(|count| (count / rounds).to_string()).join(" / ")
}

/// Used mebibytes of the first GPU by its driver; 0 if unknown.
fn memory_used() -> f64 {
    let query = ["--query-gpu=memory.used", "--format=csv,noheader,nounits"];
    let output = Command::new("nvidia-smi").args(query).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    text.lines()
        .next()
        .and_then(|line| line.trim().parse().ok())
        .unwrap_or_default()
}

/// The rate of `work`, which returns a count, and the calls of a round.
fn rate<D: Backend>(
    device: &D,
    rounds: usize,
    mut work: impl FnMut() -> Result<usize, Failure>,
) -> Result<(f64, String), Failure> {
    for _ in 0..SIZE.warm_up {
        work()?;
    }
    wait_for(device)?;
    let (since, before) = (Instant::now(), DriverCalls::so_far());
    let mut count = 0;
    for _ in 0..rounds {
        count += work()?;
    }
    let calls = calls_of_a_round(before, rounds);
    wait_for(device)?;
    Ok((count as f64 / since.elapsed().as_secs_f64(), calls))
}

/// Waits for the device: it executes in order, so reading a new value back waits for everything before.
fn wait_for<D: Backend>(device: &D) -> Result<(), Failure> {
    let number: Tensor<(usize,), f32, D> = device.try_tensor_from_vec(vec![0.0], (1,)).or_fail()?;
    number.as_vec();
    Ok(())
}

fn published<D: Backend>(device: &D, kind: BackboneKind) -> Result<Backbone<D>, Failure> {
    let file = file_of(kind).ok_or("CUTLINE_WEIGHTS is not a directory with its weights")?;
    backbone(device, kind, &file)
}

fn features<D: Backend>(device: &D, backbone: &Backbone<D>, pixels: Vec<f32>) -> Result<usize, Failure> {
    let size = backbone.preprocessing().size as usize;
    let images = pixels.len() / backbone.preprocessing().pixels_len();
    let pixels: Images<D> = device
        .try_tensor_from_vec(pixels, (images, size, size, 3))
        .or_fail()?;
    // Reading waits for the device.
    backbone.features(pixels, FeatureKind::Pooled)?.as_vec();
    Ok(images)
}

/// A copy of `values` for each round. They are made before any is measured, as PyTorch's script has its batch at hand.
fn copies(values: Vec<f32>, rounds: usize) -> impl FnMut() -> Vec<f32> {
    let mut copies = vec![values; SIZE.warm_up + rounds];
    move || copies.pop().unwrap_or_default()
}

/// Features of decoded images.
fn pixels<D: Backend>(device: &D, kind: BackboneKind, rounds: usize) -> Result<(f64, String), Failure> {
    let backbone = published(device, kind)?;
    let images = numbers("images", SIZE.images * backbone.preprocessing().pixels_len());
    let mut images = copies(images, rounds);
    rate(device, rounds, || features(device, &backbone, images()))
}

/// Features of files: all threads decode the next batches while the device computes.
fn from_jpeg<D: Backend>(device: &D, kind: BackboneKind, rounds: usize) -> Result<(f64, String), Failure> {
    let backbone = published(device, kind)?;
    let folder = images().ok_or("CUTLINE_FLICKR8K is not a directory with images")?;
    let files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, Failure>>()?;
    let preprocessing = backbone.preprocessing().clone();
    let (sender, receiver) = sync_channel(2);
    std::thread::scope(|threads| {
        threads.spawn(move || {
            for batch in files.chunks(SIZE.images).cycle().take(SIZE.warm_up + rounds) {
                let pixels = decoded(batch, &preprocessing);
                if sender.send(pixels).is_err() {
                    return;
                }
            }
        });
        rate(device, rounds, || features(device, &backbone, receiver.recv()??))
    })
}

fn decoded(
    files: &[PathBuf],
    preprocessing: &cutline::vision::preprocess::Preprocessing,
) -> Result<Vec<f32>, Failure> {
    let len = preprocessing.pixels_len();
    let mut pixels = vec![0.0; files.len() * len];
    files
        .par_iter()
        .zip(pixels.par_chunks_mut(len))
        .try_for_each(|(file, pixels)| {
            preprocessing.write_pixels(&image_io::decode(file)?, pixels);
            Ok::<_, Failure>(())
        })?;
    Ok(pixels)
}

/// Tokens per second of complete training steps.
fn training<D: Backend>(device: &D, kind: DecoderKind, rounds: usize) -> Result<(f64, String), Failure> {
    let settings = DecoderSettings {
        kind,
        hidden_size: HIDDEN,
        embedding_size: HIDDEN,
        dropout: 0.5,
        ..DecoderSettings::default()
    };
    let shape = DecoderShape {
        channels: CHANNELS,
        vocabulary: WORDS,
    };
    let mut decoder = build(device, &settings, shape, &mut random_stream(1, "weights", 0)).or_fail()?;
    let mut adam = Adam::new(AdamSettings::default(), decoder.parameters()).or_fail()?;
    let batch = captions();
    let regions = if kind.attends() { REGIONS } else { 1 };
    let images = numbers("images", SIZE.captions * regions * CHANNELS);
    let mut images = copies(images, rounds);
    rate(device, rounds, || {
        let regions = device
            .try_tensor_from_vec(images(), (SIZE.captions, regions, CHANNELS))
            .or_fail()?;
        let mut stream = random_stream(1, "dropout", 0);
        let regularization = Regularization {
            label_smoothing: 0.1,
            dropout: 0.5,
            ..Regularization::none(&mut stream)
        };
        let loss = decoder
            .training_loss(regions.leaky_trace().into(), &batch, regularization)
            .or_fail()?;
        let mut gradients = loss.try_backward().or_fail()?;
        adam.update(decoder.parameters_mut(), &mut gradients, 1e-3)
            .or_fail()?;
        Ok(batch.tokens())
    })
}

/// Captions of 7 to 14 words: 11.5 tokens on average with end tokens, as in Flickr8k.
fn captions() -> CaptionBatch {
    let captions: Vec<Vec<u32>> = (0..SIZE.captions)
        .map(|caption| {
            places("words", 7 + caption % 8, WORDS - 4)
                .into_iter()
                .map(|word| word as u32 + 4)
                .collect()
        })
        .collect();
    CaptionBatch::new(captions.iter().map(Vec::as_slice).enumerate())
}
