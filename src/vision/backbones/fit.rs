//! The search for a network's tensors in a file: which source's names they have, under which prefix, and whether they are
//! all that is there.

use super::architecture::{Architecture, LayerSpec, Recipe, Sign};
use super::{BackboneError, BackboneKind, file_contents};
use crate::vision::weights::layout::{Kernel, Naming, conv_rows};
use crate::vision::weights::state_dict::{Spelling, StateDict};
use crate::vision::weights::{WeightFile, WeightsError};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};
use std::rc::Rc;

/// The publisher of weights, which decides the tensors' names and layout, and the preprocessing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WeightSource {
    /// `keras.applications`
    Keras,
    /// `keras.applications`, with layers that Keras named itself, numbered from one.
    KerasNumbered,
    /// `keras.applications` before the layers had their present names.
    KerasOld,
    /// `torchvision.models`
    Torchvision,
    /// `torchvision.models`, with names that it changes when it loads its files.
    TorchvisionOld,
    /// timm (`pytorch-image-models`)
    Timm,
    /// timm's ports of networks of TensorFlow, with the names of its own.
    TimmTensorflow,
    /// `efficientnet_pytorch` and the packages derived from it.
    EfficientNetPytorch,
    /// `clip` and `open_clip`
    OpenAi,
}

impl WeightSource {
    pub(crate) fn naming(self) -> Naming {
        match self {
            Self::Keras | Self::KerasNumbered | Self::KerasOld => Naming::Keras,
            Self::Torchvision
            | Self::TorchvisionOld
            | Self::Timm
            | Self::TimmTensorflow
            | Self::EfficientNetPytorch
            | Self::OpenAi => Naming::Torch,
        }
    }
}

/// A source of a network's weights, and what is known of its files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published {
    pub(crate) source: WeightSource,
    /// The children of the network's module, in order, where it is `nn.Sequential`-like: see [`Spelling::Numbered`].
    pub(crate) children: &'static [&'static str],
    /// Tensors that files have besides the network's. One `*` stands for any text.
    pub(crate) unused: &'static [&'static str],
}

impl Published {
    /// A source of which only the names are known.
    pub(crate) const fn named(source: WeightSource) -> Self {
        Self {
            source,
            children: &[],
            unused: &[],
        }
    }
}

/// In the files of all sources: counters of batch normalization, and of programs that count operations.
const UNUSED: [&str; 3] = ["*num_batches_tracked", "*total_ops", "*total_params"];

/// A network's tensors in a file.
#[derive(Clone, Debug)]
pub(super) struct Fit<'f> {
    pub(super) architecture: Rc<Architecture>,
    pub(super) tensors: StateDict<'f>,
    published: &'static Published,
    /// Of the tensors that the last default layer needs, which has no new head: see [`score`].
    default_score: (usize, usize),
    /// Of all tensors.
    score: (usize, usize),
    /// Other copies of the network in the file.
    others: Vec<StateDict<'f>>,
}

impl<'f> Fit<'f> {
    /// The network's tensors in the file.
    ///
    /// # Errors
    /// If the file has several copies of them that differ, or others of the same network.
    pub(super) fn of(kind: BackboneKind, file: &'f WeightFile) -> Result<Self, BackboneError> {
        let mut candidates = Self::candidates(kind, file).into_iter();
        let Some(mut best) = candidates.next() else {
            return Self::nearest(kind, file).map_err(|error| BackboneError::of_file(error, kind, file));
        };
        let path = || file.path().to_owned();
        let mut others: Vec<Self> = Vec::new();
        for other in candidates {
            if !others.iter().chain([&best]).any(|fit| fit.is_at_place_of(&other)) {
                others.push(other);
            }
        }
        let is_rival = |other: &&Self| {
            let is_alike =
                (other.score, other.tensors.is_average()) == (best.score, best.tensors.is_average());
            is_alike && !best.is_same_as(other)
        };
        if let Some(rival) = others.iter().find(is_rival) {
            return Err(BackboneError::SeveralCopies {
                backbone: kind,
                path: path(),
                copies: [&best, rival].map(|fit| fit.tensors.prefix().to_owned()),
            });
        }
        best.others = others.into_iter().map(|other| other.tensors).collect();
        let foreign = best.foreign();
        if let Some(tensor) = foreign.first() {
            return Err(BackboneError::ForeignTensors {
                backbone: kind,
                path: path(),
                count: foreign.len(),
                tensor: tensor.to_string(),
                contents: file_contents::describe(file, kind),
            });
        }
        Ok(best)
    }

    pub(super) fn naming(&self) -> Naming {
        self.published.source.naming()
    }

    /// Which of the copies of the network was taken, if there are several that differ.
    pub(super) fn choice(&self) -> Option<String> {
        let place = |tensors: &StateDict<'_>| match tensors.prefix() {
            "" => "at the top of the file".to_owned(),
            prefix => format!("under {prefix:?}"),
        };
        let differ = self.others.iter().filter(|other| !self.agrees_with(other));
        let left_out = differ.map(|other| match other.is_average() {
            true => format!("the average of them {}", place(other)),
            false => format!("the others {}", place(other)),
        });
        let left_out: BTreeSet<String> = left_out.collect();
        let left_out = Vec::from_iter(left_out).join(" or ");
        (!left_out.is_empty()).then(|| format!("took the weights {}, not {left_out}", place(&self.tensors)))
    }

    /// How many tensors of the file are of something else, such as another network, and under which names.
    pub(super) fn unused(&self) -> Option<String> {
        let file = self.tensors.file();
        let copies = || std::iter::once(&self.tensors).chain(&self.others);
        let used: HashSet<String> = copies()
            .flat_map(|copy| self.names().filter_map(|name| copy.stored(name)))
            .collect();
        let known = |name: &str| {
            let mut heads = copies().filter_map(|copy| copy.published(name));
            self.is_known_unused(name) || heads.any(|name| self.is_known_unused(&name))
        };
        // The state of the training is no network, nor are random states and counters.
        let of_training = |name: &str| {
            let mut parts = name.split(['.', '/']);
            parts.any(|part| part.starts_with("optim") || part == "callbacks") || !file.is_float(name)
        };
        let unused = file
            .names()
            .filter(|name| !used.contains(*name) && !known(name) && !of_training(name));
        let unused: Vec<&str> = unused.map(|name| self.tensors.branch(name)).collect();
        (!unused.is_empty()).then(|| {
            let (count, branches) = (unused.len(), file_contents::by_count(unused));
            format!("tensors of other layers or networks are not used: {count}, under {branches}")
        })
    }

    fn is_known_unused(&self, name: &str) -> bool {
        let mut patterns = UNUSED.iter().chain(self.published.unused);
        patterns.any(|pattern| matches(pattern, name))
    }

    /// The places in the file with at least half of the network's tensors; the best one first.
    fn candidates(kind: BackboneKind, file: &'f WeightFile) -> Vec<Self> {
        let mut candidates = Vec::new();
        for published in kind.sources() {
            let architecture = Rc::new(kind.architecture(published.source));
            let Some((first, _)) = architecture.tensors(architecture.stages.len()).next() else {
                continue;
            };
            for spelling in published.spellings(&architecture) {
                let found = StateDict::all(file, spelling, first);
                candidates.extend(found.into_iter().map(|tensors| Self {
                    default_score: score(&architecture, architecture.last_default(), &tensors),
                    score: score(&architecture, architecture.stages.len(), &tensors),
                    architecture: architecture.clone(),
                    tensors,
                    published,
                    others: Vec::new(),
                }));
            }
        }
        candidates.retain(|fit| {
            let needed = fit.architecture.tensors(fit.architecture.last_default()).count();
            fit.score.1 * 2 >= needed
        });
        // An average is taken where there is nothing else. The sort is stable.
        candidates.sort_by_key(|fit| {
            (
                Reverse(fit.default_score),
                fit.tensors.is_average(),
                Reverse(fit.score),
            )
        });
        candidates
    }

    /// The whole file, whose missing tensors loading reports.
    fn nearest(kind: BackboneKind, file: &'f WeightFile) -> Result<Self, WeightsError> {
        let naming = file.naming()?;
        let mut sources = kind.sources().iter();
        let published = sources.find(|published| published.source.naming() == naming);
        let published = published.unwrap_or(&kind.sources()[0]);
        Ok(Self {
            architecture: Rc::new(kind.architecture(published.source)),
            tensors: StateDict::whole(file),
            published,
            default_score: (0, 0),
            score: (0, 0),
            others: Vec::new(),
        })
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let tensors = self.architecture.tensors(self.architecture.stages.len());
        tensors.map(|(name, _)| name)
    }

    fn is_same_as(&self, other: &Self) -> bool {
        self.names().all(|name| self.tensors.agrees(&other.tensors, name))
    }

    /// Whether all tensors that another copy has are the same there.
    fn agrees_with(&self, other: &StateDict<'_>) -> bool {
        let mut shared = self.names().filter(|name| other.contains(name)).peekable();
        shared.peek().is_some() && shared.all(|name| self.tensors.agrees(other, name))
    }

    /// Whether these are the same tensors under other names, as of a module and of its child.
    fn is_at_place_of(&self, other: &Self) -> bool {
        let first = |fit: &Self| fit.names().next().and_then(|name| fit.tensors.stored(name));
        first(self) == first(other)
    }

    /// Tensors of another network: those within this one's modules. A new head is none.
    fn foreign(&self) -> Vec<Cow<'f, str>> {
        // Keras' layers are in no modules, but have a block's name: block3_conv4.
        let ends: &[char] = match self.naming() {
            Naming::Keras => &['/', '_'],
            Naming::Torch => &['.'],
        };
        let module = |name: &str| name.split(ends).next().unwrap_or_default().to_owned();
        let names: HashSet<&str> = self.names().collect();
        let modules: HashSet<String> = names.iter().map(|name| module(name)).collect();
        let tensors = self.tensors.names().filter(|name| {
            modules.contains(&module(name)) && !names.contains(&**name) && !self.is_known_unused(name)
        });
        tensors.collect()
    }

    /// Whether the file has the network's weights up to a default layer, and no other network's.
    pub(super) fn is_whole(kind: BackboneKind, file: &WeightFile) -> bool {
        Fit::candidates(kind, file).first().is_some_and(|fit| {
            let mut tensors = fit.architecture.tensors(fit.architecture.last_default());
            tensors.all(|(name, len)| has(&fit.tensors, name, len)) && fit.foreign().is_empty()
        })
    }

    /// The preprocessing that the weights were trained with.
    pub(super) fn recipe(&self) -> Result<&Recipe, WeightsError> {
        let recipes = &self.architecture.recipes;
        let path = self.tensors.file().path().to_string_lossy();
        let norms = match recipes
            .iter()
            .any(|recipe| matches!(recipe.sign, Sign::FirstKernel(_)))
        {
            true => self.channel_norms()?,
            false => [0.0; 3],
        };
        let is_near = |(found, known): (f32, f32)| (found / known - 1.0).abs() < 0.02;
        let is_signed = |recipe: &&Recipe| match recipe.sign {
            Sign::Names => false,
            Sign::FirstKernel(known) => norms.into_iter().zip(known).all(is_near),
            Sign::Path(part) => path.contains(part),
        };
        Ok(recipes.iter().find(is_signed).unwrap_or(&recipes[0]))
    }

    fn channel_norms(&self) -> Result<[f32; 3], WeightsError> {
        let mut squares = [0.0; 3];
        let first = self.architecture.stages.first();
        if let Some(LayerSpec::Convolution {
            weights,
            window,
            outputs,
            ..
        }) = first.and_then(|stage| stage.layers.first())
        {
            let kernel = Kernel {
                height: window.kernel.0,
                width: window.kernel.1,
                inputs: squares.len(),
                outputs: *outputs,
            };
            let shape = self.naming().conv_shape(kernel);
            let values = self.tensors.get(&weights.kernel, &shape)?;
            let rows = conv_rows(values, self.naming(), kernel);
            for (row, values) in rows.chunks(*outputs).enumerate() {
                squares[row % 3] += values.iter().map(|value| value * value).sum::<f32>();
            }
        }
        Ok(squares.map(f32::sqrt))
    }
}

impl Published {
    /// The names that the network's tensors can have. A child alone must have all tensors of the last default layer.
    fn spellings(&self, architecture: &Architecture) -> Vec<Spelling> {
        let mut spellings = vec![Spelling::Published];
        if !self.children.is_empty() {
            spellings.push(Spelling::Numbered(self.children));
        }
        let is_alone = |child: &&&str| {
            let mut tensors = architecture.tensors(architecture.last_default());
            tensors.all(|(name, _)| name.split('.').next() == Some(**child))
        };
        spellings.extend(
            self.children
                .iter()
                .find(is_alone)
                .map(|child| Spelling::Child(child)),
        );
        spellings
    }
}

/// Tensors with the names and sizes of the first `stages`, and those with their names.
fn score(architecture: &Architecture, stages: usize, tensors: &StateDict<'_>) -> (usize, usize) {
    let all = || architecture.tensors(stages);
    let fitting = all().filter(|(name, len)| has(tensors, name, *len));
    let named = all().filter(|(name, _)| tensors.contains(name));
    (fitting.count(), named.count())
}

/// Whether there is a tensor of this name with this number of values.
fn has(tensors: &StateDict<'_>, name: &str, len: usize) -> bool {
    let shape = tensors.shape(name);
    shape.is_some_and(|shape| shape.iter().try_fold(1_usize, |a, &b| a.checked_mul(b)) == Some(len))
}

/// Whether the name fits the pattern.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => {
            let rest = name.strip_prefix(start);
            rest.is_some_and(|rest| rest.ends_with(end))
        }
        None => pattern == name,
    }
}
