//! `cutline pack`: a trained run as one file, or as a folder for other programs.

mod verify;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use dfdx::prelude::Cpu;

use super::fetch::variable;
use super::interrupt::{Interrupt, Interrupted};
use super::optional_metrics::OptionalMetrics;
use super::progress::Task;
use super::terminal::{display_path, display_safe};
use super::{Context, choices, output};
use crate::data::Dataset;
use crate::fetch::Catalog;
use crate::files::ConfinedPath;
use crate::jobs::CheckpointKind;
use crate::pack::{
    CaptionMember, CaptionMembers, HubTerms, MeasureError, PackDtype, PackError, PackedFile, Packing,
    StatedScores, WeightTerms, hub_file, measure,
};
use crate::search::cpu;
use crate::text::counted;
use crate::training::TrainedRun;
pub(super) use verify::Verify;

/// Terms that are not stated.
const UNKNOWN: &str = "unknown";

/// Pack a run into one file that captions images anywhere
///
/// The file holds the settings, the vocabulary, the weights of decoder and CNN, the scores of the run's evaluations, and a
/// model card. `cutline caption FILE image.jpg` needs nothing else. Existing readers of safetensors open it.
///
/// The scores are those of the weights as they are packed: with --dtype f32 the run's evaluations of this checkpoint, with
/// --dtype f16 those of the same splits captioned again. `cutline verify` confirms them.
///
/// --format hf writes a folder for Hugging Face's hub: the same file as `model.safetensors`, `config.json`, `vocabulary.txt`, and
/// `README.md` with the hub's metadata. --format onnx writes the encoder and one step of the decoder as ONNX graphs, with
/// `config.json` and `vocabulary.json`.
///
/// A run on features made elsewhere is packed without a CNN; caption with `--features-from`.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline pack flickr8k-merge-001 --out captioner.cutline
  cutline pack flickr8k-merge-001 --out captioner.cutline --dtype f16
  cutline pack flickr8k-merge-001 --format onnx --out captioner
  cutline pack flickr8k-merge-001 --format hf --out captioner --license mit --language en
  cutline pack mine-001 --out mine.cutline --weights-license CC-BY-4.0 --weights-origin our-lab")]
pub(super) struct Pack {
    /// The run's name, or the path of its directory
    #[arg(value_name = "RUN")]
    run: String,
    /// The file to write, or the folder
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// The form to write
    #[arg(long, value_enum, default_value_t)]
    format: PackFormat,
    /// The checkpoint to pack
    #[arg(long, value_name = "CHECKPOINT", value_parser = choices::named::<CheckpointKind>(), default_value_t)]
    checkpoint: CheckpointKind,
    /// How weights are kept: f32 gives the captions of the run; f16 halves the file, and may change captions in places
    #[arg(long, value_name = "DTYPE", value_parser = choices::named::<PackDtype>(), default_value_t)]
    dtype: PackDtype,
    /// The CNN's file of weights, if it has moved since `prepare`
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// License of the CNN's weights [default: that of the file in the table of `cutline fetch`]
    #[arg(long, value_name = "TEXT")]
    weights_license: Option<String>,
    /// Who made and who distributes the CNN's weights [default: as for --weights-license]
    #[arg(long, value_name = "TEXT")]
    weights_origin: Option<String>,
    /// For --format hf: the model's license, an identifier of the hub
    #[arg(long, value_name = "ID")]
    license: Option<String>,
    /// For --format hf: the language of the captions, a code such as `en`
    #[arg(long, value_name = "CODE")]
    language: Option<String>,
    /// Replace the files if they exist
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    optional_metrics: OptionalMetrics,
}

/// A form of a packed run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum PackFormat {
    /// One file for `cutline caption`.
    #[default]
    Cutline,
    /// A folder for Hugging Face's hub.
    Hf,
    /// A folder with ONNX graphs.
    Onnx,
}

impl Pack {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        self.check_free()?;
        match self.format {
            PackFormat::Cutline => self.pack(&self.out, context).map(|_| ()),
            PackFormat::Hf => {
                self.create_folder()?;
                let packing = self.pack(&hub_file(&self.out), context)?;
                let terms = HubTerms {
                    license: self.license.clone(),
                    language: self.language.clone(),
                };
                Ok(packing.write_hub_files(&self.out, &terms)?)
            }
            PackFormat::Onnx => self.export(context),
        }
    }

    fn export(&self, context: &Context) -> anyhow::Result<()> {
        ensure!(
            self.dtype == PackDtype::F32,
            "ONNX graphs keep weights as f32; leave out --dtype"
        );
        let packing = self.packing(context)?;
        self.create_folder()?;
        packing.write_onnx(&self.out)?;
        context.print_lossy(&format!(
            "{}: encoder.onnx, decoder.onnx, config.json, vocabulary.json\n",
            display_path(&self.out)
        ))?;
        Ok(())
    }

    fn create_folder(&self) -> Result<(), PackError> {
        std::fs::create_dir_all(&self.out).map_err(|source| PackError::Write {
            path: self.out.clone(),
            source,
        })
    }

    /// Checks that the output can be written.
    fn check_free(&self) -> anyhow::Result<()> {
        if self.format == PackFormat::Cutline || !self.out.is_dir() {
            output::check(&self.out)?;
        }
        match self.out.symlink_metadata().is_ok() && !self.force {
            true => Err(PackError::Exists {
                path: self.out.clone(),
            }
            .into()),
            false => Ok(()),
        }
    }

    /// The run and its CNN.
    fn packing(&self, context: &Context) -> anyhow::Result<Packing<Cpu>> {
        let directory = context.root.find_run(&self.run)?;
        let run = TrainedRun::open(&directory, &directory.checkpoint(self.checkpoint), &cpu())?;
        let weights = self
            .weights
            .as_ref()
            .or(run.record.data.weights.as_ref())
            .cloned();
        let terms = |path: &Path| self.terms(path, context);
        Ok(Packing::new(
            run,
            self.checkpoint,
            self.dtype,
            weights.as_deref(),
            terms,
        )?)
    }

    fn pack(&self, file: &Path, context: &Context) -> anyhow::Result<Packing<Cpu>> {
        let mut packing = self.packing(context)?;
        if packing.run().model.spec().encoder.is_made_elsewhere() {
            context.notice(
                "the run reads features made elsewhere: it is packed without a CNN, for cutline caption --features-from",
            );
        }
        let (evaluations, earlier) = packing.evaluations()?;
        if !earlier.is_empty() {
            context.notice(&format!(
                "not stated, because the checkpoint is newer: the scores of {}; evaluate it again",
                display_safe(&earlier.join(", "))
            ));
        }
        match self.dtype {
            PackDtype::F32 => packing.state(evaluations),
            PackDtype::F16 => {
                // The weights must be read back from a file to be those that are packed. Interrupted, it leaves no file.
                let beside = file.parent().filter(|parent| *parent != Path::new(""));
                let scratch = tempfile::tempdir_in(beside.unwrap_or(Path::new(".")))
                    .with_context(|| format!("cannot write beside {}", display_path(file)))?;
                let trial = scratch.path().join("trial.cutline");
                packing.write(&trial)?;
                let measured = self.measure_all(&trial, &packing, &evaluations, context)?;
                packing.state(measured);
            }
        }
        packing.write(file)?;
        let scores = packing.info().scores.len();
        if scores == 0 {
            context.notice(&format!(
                "the file states no scores; with those of `cutline evaluate {}` it would",
                display_safe(&packing.info().run)
            ));
        }
        let bytes = std::fs::metadata(file).map_or(0, |found| found.len());
        context.print_lossy(&format!(
            "{}: {:.1} MB, {}, {} stated\n",
            display_path(file),
            bytes as f64 / 1e6,
            self.dtype,
            counted(scores as u64, "evaluations")
        ))?;
        Ok(packing)
    }

    /// The terms of a file of weights: as the user says, or as its publisher does.
    fn terms(&self, path: &Path, context: &Context) -> WeightTerms {
        let catalog = Catalog::load(&variable).ok();
        let asset = catalog.as_ref().and_then(|catalog| catalog.weights_at(path));
        let stated = |given: &Option<String>, known: Option<&String>| {
            given
                .as_ref()
                .or(known)
                .cloned()
                .unwrap_or_else(|| UNKNOWN.to_owned())
        };
        let terms = WeightTerms {
            license: stated(&self.weights_license, asset.map(|asset| &asset.license)),
            origin: stated(&self.weights_origin, asset.map(|asset| &asset.origin)),
        };
        if terms.license == UNKNOWN || terms.origin == UNKNOWN {
            context.notice(&format!(
                "the license or the origin of {} is unknown, and the file will say so; state them with --weights-license and \
                 --weights-origin",
                display_path(path)
            ));
        }
        terms
    }

    /// The scores of the packed weights on the splits of the run's evaluations; none without the dataset.
    fn measure_all(
        &self,
        path: &Path,
        packing: &Packing<Cpu>,
        evaluations: &[StatedScores],
        context: &Context,
    ) -> anyhow::Result<Vec<StatedScores>> {
        let opened = packing
            .run()
            .dataset_directory(&context.root)
            .map_err(anyhow::Error::from)
            .and_then(|directory| Ok((Dataset::load(&directory)?, directory)));
        let (dataset, directory) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                context.notice(&format!(
                    "no scores are stated, for want of the dataset: {error:#}"
                ));
                return Ok(Vec::new());
            }
        };
        let evaluations: Vec<&StatedScores> = evaluations
            .iter()
            .filter(|stated| stated.data_hash == dataset.hash)
            .collect();
        let file = PackedFile::open(path)?;
        measured(
            file,
            &evaluations,
            (&directory, &dataset),
            &self.optional_metrics,
            context,
        )
    }
}

/// Captions the splits of these evaluations again with a packed file, on the CPU.
fn measured(
    file: PackedFile,
    evaluations: &[&StatedScores],
    (directory, dataset): (&ConfinedPath, &Dataset),
    optional_metrics: &OptionalMetrics,
    context: &Context,
) -> anyhow::Result<Vec<StatedScores>> {
    let interrupt = Interrupt::install()?;
    let searches = evaluations
        .iter()
        .map(|stated| file.search(stated.search.clone()));
    let searches = searches.collect::<Result<Vec<_>, _>>()?;
    let model = file.model(&cpu())?;
    let members = CaptionMembers {
        first: CaptionMember::Packed(Box::new(file), model),
        others: Vec::new(),
    };
    let captioner = match members.reads_features_made_elsewhere() {
        true => members.feature_captioner()?,
        false => members.captioner(&[])?,
    };
    let mut all = Vec::new();
    for (stated, search) in evaluations.iter().zip(&searches) {
        let images = dataset.images(stated.split).count();
        let bar = context.progress(Task::new("captioning", "images", images));
        let mut done = 0;
        let scores = measure(
            &captioner,
            search,
            stated,
            (directory, dataset),
            &mut |captioned| {
                bar.advance((captioned - done) as u64);
                done = captioned;
                match interrupt.is_requested() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            },
            &mut optional_metrics.adding(context),
        );
        if matches!(scores, Err(MeasureError::Stopped)) {
            return Err(Interrupted.into());
        }
        bar.finish();
        all.push(scores.context("the scores could not be measured")?);
    }
    Ok(all)
}
