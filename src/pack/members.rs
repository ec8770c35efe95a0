//! The members of a captioner: runs, packed files, or both.

use super::{PackError, PackedFile};
use crate::jobs::{CheckpointRef, Root};
use crate::model::{Model, ModelSpec};
use crate::nn::Backend;
use crate::search::{Captioner, CaptionerError, Search, SearchSettings};
use crate::text::Vocabulary;
use crate::training::{RunEnsemble, TrainedRun, check_same_vocabulary};
use std::path::{Path, PathBuf};

/// A model that captions images, with all that it needs.
#[expect(clippy::large_enum_variant, reason = "a captioner has few members")]
pub enum CaptionMember<D: Backend> {
    /// A checkpoint of a run.
    Run(Box<TrainedRun<D>>),
    /// A packed file.
    Packed(Box<PackedFile>, Model<D>),
}

impl<D: Backend> CaptionMember<D> {
    /// Opens a packed file, or else the checkpoint of a run.
    ///
    /// # Errors
    /// If there is neither, or it is damaged.
    pub fn open(member: &CheckpointRef, root: &Root, device: &D) -> Result<Self, PackError> {
        if Path::new(&member.run).is_file() {
            let file = PackedFile::open(&member.run)?;
            let model = file.model(device)?;
            return Ok(Self::Packed(Box::new(file), model));
        }
        let run = root.find_run(&member.run)?;
        let run = TrainedRun::open(&run, &run.checkpoint(member.checkpoint), device)?;
        Ok(Self::Run(Box::new(run)))
    }

    /// The run's name, or the file's.
    pub fn name(&self) -> String {
        match self {
            Self::Run(run) => run.directory.name(),
            Self::Packed(file, _) => file.path().to_string_lossy().into_owned(),
        }
    }

    /// The run, unless it is packed.
    pub fn run(&self) -> Option<&TrainedRun<D>> {
        match self {
            Self::Run(run) => Some(run),
            Self::Packed(..) => None,
        }
    }

    /// The vocabulary.
    pub fn vocabulary(&self) -> &Vocabulary {
        match self {
            Self::Run(run) => &run.vocabulary,
            Self::Packed(file, _) => file.vocabulary(),
        }
    }

    /// The search settings of the run.
    pub fn search_settings(&self) -> &SearchSettings {
        match self {
            Self::Run(run) => &run.record.settings.search,
            Self::Packed(file, _) => &file.info().settings.search,
        }
    }

    /// A search with these settings.
    ///
    /// # Errors
    /// If it uses minimum Bayes risk, and there are no document frequencies or damaged ones.
    pub fn search(&self, settings: SearchSettings) -> Result<Search, PackError> {
        match self {
            Self::Run(run) => Ok(run.search(settings)?),
            Self::Packed(file, _) => file.search(settings),
        }
    }

    fn spec(&self) -> &ModelSpec {
        match self {
            Self::Run(run) => run.model.spec(),
            Self::Packed(file, _) => file.spec(),
        }
    }

    fn into_model(self) -> Model<D> {
        match self {
            Self::Run(run) => run.model,
            Self::Packed(_, model) => model,
        }
    }

    /// Adds the member to a captioner. `weights` is the file of published weights of a run.
    fn add_to(self, captioner: Captioner<D>, weights: Option<&Path>) -> Result<Captioner<D>, CaptionerError> {
        match self {
            Self::Run(run) => captioner.with(run.model, weights),
            Self::Packed(file, model) => match file.cnn() {
                Some(cnn) => captioner.with_weights(model, &cnn),
                None => captioner.with(model, None),
            },
        }
    }
}

/// Members with the same vocabulary; a single one is an ensemble too.
pub struct CaptionMembers<D: Backend> {
    /// The member whose settings are used.
    pub first: CaptionMember<D>,
    /// The others.
    pub others: Vec<CaptionMember<D>>,
}

impl<D: Backend> From<RunEnsemble<D>> for CaptionMembers<D> {
    fn from(runs: RunEnsemble<D>) -> Self {
        let member = |run| CaptionMember::Run(Box::new(run));
        Self {
            first: member(runs.first),
            others: runs.others.into_iter().map(member).collect(),
        }
    }
}

impl<D: Backend> CaptionMembers<D> {
    /// Opens packed files and checkpoints of runs.
    ///
    /// # Errors
    /// Those of [`CaptionMember::open`]; if the vocabularies differ.
    pub fn open(
        first: &CheckpointRef,
        others: &[CheckpointRef],
        root: &Root,
        device: &D,
    ) -> Result<Self, PackError> {
        let first = CaptionMember::open(first, root, device)?;
        let open = |other: &CheckpointRef| {
            let other = CaptionMember::open(other, root, device)?;
            check_same_vocabulary(
                (&first.name(), first.vocabulary()),
                (&other.name(), other.vocabulary()),
            )?;
            Ok::<_, PackError>(other)
        };
        let others = others.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { first, others })
    }

    /// Whether a member reads features that another program made.
    pub fn reads_features_made_elsewhere(&self) -> bool {
        let mut members = std::iter::once(&self.first).chain(&self.others);
        members.any(|member| member.spec().encoder.is_made_elsewhere())
    }

    /// A captioner for any image. `weights` are files of published weights in the order of the members, for runs; the last
    /// one also serves the members after it. Without any, each run uses its recorded one.
    ///
    /// # Errors
    /// Those of [`Captioner::new`].
    pub fn captioner(self, weights: &[PathBuf]) -> Result<Captioner<D>, CaptionerError> {
        let captioner = Captioner::empty(self.first.vocabulary().clone());
        let members = std::iter::once(self.first).chain(self.others).enumerate();
        let with = |captioner, (index, member): (usize, CaptionMember<D>)| {
            let named = weights.get(index).or(weights.last());
            let recorded = member.run().and_then(|run| run.record.data.weights.as_ref());
            let file = named.or(recorded).cloned();
            member.add_to(captioner, file.as_deref())
        };
        members.into_iter().try_fold(captioner, with)
    }

    /// A captioner of features that another program made, which all members read.
    ///
    /// # Errors
    /// If a member reads pixels.
    pub fn feature_captioner(self) -> Result<Captioner<D>, CaptionerError> {
        let captioner = Captioner::empty(self.first.vocabulary().clone());
        let members = std::iter::once(self.first).chain(self.others);
        let with =
            |captioner: Captioner<D>, member: CaptionMember<D>| captioner.with_features(member.into_model());
        members.into_iter().try_fold(captioner, with)
    }
}
