//! Features on disk, a row an image: written once, in order, in spite of interruptions; read memory-mapped.
//!
//! ```text
//! features/<id>/
//!   store.json      what the features are: network, layer, weights, preprocessing, shape
//!   rows.bin        rows of one size, little-endian
//!   index.jsonl     the image's key for each row, one JSON string per line, written after its row was synced
//!   complete.json   the number of rows, once all are there
//!   lock            locked by the writing process
//!   weights         the path of the network's weights, for new images
//! ```
//!
//! After an interruption the last row or line may be incomplete. Both files are then truncated to their common
//! rows, so a resumed store equals an uninterrupted one byte for byte.

mod reader;
mod weights_path;
mod writer;

pub use reader::FeatureStore;
pub use weights_path::{read_weights_path, record_weights_path};
pub use writer::FeatureWriter;

use crate::files::ConfinedPath;
use crate::suggest::{Named, UnknownName, unknown_name};
use crate::vision::augment::Augmentation;
use crate::vision::floats;
use crate::vision::preprocess::Preprocessing;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

/// The version of the directory's layout.
const VERSION: u32 = 1;
/// Longer manifests and markers are not read.
const MAX_JSON_BYTES: u64 = 1 << 20;
/// Longer indexes are not read: tens of millions of images.
const MAX_INDEX_BYTES: u64 = 4 << 30;
/// Features of an image have at most this many numbers, 1 GiB of them.
pub(in crate::vision::features) const MAX_ROW_NUMBERS: usize = 1 << 28;

/// The most regions of images with different numbers: half precision holds these numbers exactly.
pub const MAX_VARIABLE_REGIONS: usize = 2048;

/// What the rows of a store are; two stores of equal specification hold equal features for an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSpec {
    /// The network's name; for features made elsewhere, that of their file.
    pub backbone: String,
    /// The layer whose output is kept; empty for features made elsewhere.
    pub layer: String,
    /// BLAKE3 of the file of weights, or of the features' file.
    pub weights: String,
    /// How images became pixels; `None` for features made elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocessing: Option<Preprocessing>,
    /// Regions of an image: 1 for a pooled vector. Of varying numbers, the largest.
    pub regions: usize,
    /// Whether images have different numbers of regions: a row then starts with its number and ends in padding.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub variable_regions: bool,
    /// Numbers for a region.
    pub channels: usize,
    /// How a number is kept on disk.
    pub dtype: FeatureDtype,
}

/// A field in which two specifications differ, and its value in each, as JSON.
pub(in crate::vision::features) struct Difference {
    pub(in crate::vision::features) field: String,
    pub(in crate::vision::features) values: [String; 2],
}

/// How a number is kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumString, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = UnknownName, parse_err_fn = unknown_name::<Self>)]
pub enum FeatureDtype {
    /// Half precision: half the room, about three significant digits, at most 65,504.
    F16,
    /// Single precision.
    F32,
}

impl Named for FeatureDtype {
    const KIND: &'static str = "dtype of features";
}

impl FeatureSpec {
    /// The specification of the store in `dir`, complete or not; `None` where there is no store.
    ///
    /// # Errors
    /// [`StoreError::Version`], [`StoreError::Damaged`] and [`StoreError::Io`].
    pub fn read(dir: impl Into<ConfinedPath>) -> Result<Option<Self>> {
        read_manifest(&Paths::new(dir.into()))
    }

    /// Checks that a row and the images have a size that a machine can hold.
    ///
    /// # Errors
    /// The reason.
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        let has_possible_size = Preprocessing::has_possible_size;
        if !self.preprocessing.as_ref().is_none_or(has_possible_size) {
            return Err("no network reads images of the size in its preprocessing".to_owned());
        }
        let has_possible_values = Preprocessing::has_possible_values;
        if !self.preprocessing.as_ref().is_none_or(has_possible_values) {
            return Err("no network reads values of the normalization in its preprocessing".to_owned());
        }
        let numbers = self.regions.checked_mul(self.channels);
        let is_countable = !self.variable_regions || self.regions <= MAX_VARIABLE_REGIONS;
        match numbers {
            Some(1..=MAX_ROW_NUMBERS) if is_countable => Ok(()),
            _ => Err(format!(
                "{} regions of {} channels are not the shape of features",
                self.regions, self.channels
            )),
        }
    }

    /// Whether another program made the features.
    pub fn is_made_elsewhere(&self) -> bool {
        self.preprocessing.is_none()
    }

    /// The augmentation of the images.
    pub fn augmentation(&self) -> Augmentation {
        let preprocessing = self.preprocessing.as_ref();
        preprocessing.map_or(Augmentation::None, |preprocessing| preprocessing.augmentation)
    }

    /// Numbers in a row: `regions * channels`, after their number where it varies.
    pub fn row_len(&self) -> usize {
        self.regions * self.channels + usize::from(self.variable_regions)
    }

    /// The row of an image's features `[its regions, channels]`.
    pub fn row(&self, features: &[f32]) -> Vec<f32> {
        if !self.variable_regions {
            return features.to_vec();
        }
        let mut row = vec![(features.len() / self.channels) as f32];
        row.extend_from_slice(features);
        row.resize(self.row_len(), 0.0);
        row
    }

    /// The features `[its regions, channels]` in a row.
    ///
    /// # Panics
    /// If the row is too short.
    pub fn real_regions<'r>(&self, row: &'r [f32]) -> &'r [f32] {
        if !self.variable_regions {
            return row;
        }
        // The file may be anyone's: a number that is none becomes the nearest that is one.
        let count = (row[0] as usize).clamp(1, self.regions);
        &row[1..][..count * self.channels]
    }

    /// The first field, in alphabetical order, in which features of this and another specification differ.
    pub(in crate::vision::features) fn first_difference(&self, other: &Self) -> Option<Difference> {
        let (mut ours, mut theirs) = (self.fields(), other.fields());
        let names: BTreeSet<String> = ours.keys().chain(theirs.keys()).cloned().collect();
        names.into_iter().find_map(|field| {
            let [this, other] =
                [&mut ours, &mut theirs].map(|fields| fields.remove(&field).unwrap_or_default());
            (this != other).then(|| Difference {
                field,
                values: [this, other].map(|value| value.to_string()),
            })
        })
    }

    fn fields(&self) -> BTreeMap<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields.into_iter().collect(),
            _ => BTreeMap::new(), // names and numbers always make an object
        }
    }

    fn row_bytes(&self) -> usize {
        self.row_len()
            * match self.dtype {
                FeatureDtype::F16 => 2,
                FeatureDtype::F32 => 4,
            }
    }

    fn decode(&self, bytes: &[u8], row: &mut [f32]) {
        match self.dtype {
            FeatureDtype::F16 => floats::read_f16(bytes, row),
            FeatureDtype::F32 => floats::read_f32(bytes, row),
        }
    }

    fn encode(&self, row: &[f32], bytes: &mut Vec<u8>) {
        match self.dtype {
            FeatureDtype::F16 => floats::write_f16(row, bytes),
            FeatureDtype::F32 => floats::write_f32(row, bytes),
        }
    }

    /// The features as a store returns them: rounded to [`dtype`](Self::dtype).
    pub fn as_stored(&self, features: &[f32]) -> Vec<f32> {
        let mut bytes = Vec::new();
        self.encode(features, &mut bytes);
        let mut stored = vec![0.0; features.len()];
        self.decode(&bytes, &mut stored);
        stored
    }

    /// The largest number that [`dtype`](Self::dtype) can hold.
    fn largest(&self) -> f32 {
        match self.dtype {
            FeatureDtype::F16 => half::f16::MAX.to_f32(),
            FeatureDtype::F32 => f32::MAX,
        }
    }
}

/// What can go wrong with a feature store, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum StoreError {
    #[error(
        "{path:?}: {error}: check permissions and free space, then start again; finished images are kept"
    )]
    Io { path: PathBuf, error: io::Error },
    #[error("no features in {dir:?}: extract them first")]
    NotFound { dir: PathBuf },
    #[error(
        "the features in {dir:?} are not complete ({rows} images so far): start the extraction again to continue"
    )]
    Incomplete { dir: PathBuf, rows: usize },
    #[error(
        "the features in {dir:?} have {field} {stored} and not {wanted}: \
         choose another directory, or remove this one to start afresh"
    )]
    Differs {
        dir: PathBuf,
        field: String,
        stored: String,
        wanted: String,
    },
    #[error("another process is writing features to {dir:?}: wait for it, or stop it")]
    Busy { dir: PathBuf },
    #[error(
        "{path:?} has version {found}, this program reads {VERSION}: remove the directory and extract again"
    )]
    Version { path: PathBuf, found: u32 },
    #[error("{path:?} is damaged ({why}): remove the directory and extract again")]
    Damaged { path: PathBuf, why: String },
    #[error(
        "image {key:?} has {found} numbers where the store's rows have {expected}: give features of the store's layer and form"
    )]
    RowLength {
        key: String,
        expected: usize,
        found: usize,
    },
    #[error("image {key:?} is there already: give every image a key of its own")]
    Duplicate { key: String },
    #[error(
        "image {key:?} has the feature {value}, which cannot be kept: check that the weights belong to this \
         network; where they do, keep features as f32"
    )]
    Unstorable { key: String, value: f32 },
}

type Result<T> = std::result::Result<T, StoreError>;

/// Gives an I/O error its file.
trait At<T> {
    fn at(self, path: &ConfinedPath) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &ConfinedPath) -> Result<T> {
        self.map_err(|error| StoreError::Io {
            path: path.into(),
            error,
        })
    }
}

/// The files of a store.
#[derive(Clone, Debug)]
struct Paths {
    dir: ConfinedPath,
    manifest: ConfinedPath,
    rows: ConfinedPath,
    index: ConfinedPath,
    complete: ConfinedPath,
    lock: ConfinedPath,
}

impl Paths {
    fn new(dir: ConfinedPath) -> Self {
        Self {
            manifest: dir.join("store.json"),
            rows: dir.join("rows.bin"),
            index: dir.join("index.jsonl"),
            complete: dir.join("complete.json"),
            lock: dir.join("lock"),
            dir,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    version: u32,
    features: FeatureSpec,
}

/// The marker of a complete store.
#[derive(Serialize, Deserialize)]
struct Complete {
    rows: usize,
}

fn read_manifest(paths: &Paths) -> Result<Option<FeatureSpec>> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let Some(json) = read_if_there(&paths.manifest, MAX_JSON_BYTES)? else {
        return Ok(None);
    };
    let Versioned { version } = parse(&json, &paths.manifest)?;
    if version != VERSION {
        return Err(StoreError::Version {
            path: (&paths.manifest).into(),
            found: version,
        });
    }
    let manifest: Manifest = parse(&json, &paths.manifest)?;
    manifest.features.check().map_err(|why| StoreError::Damaged {
        path: (&paths.manifest).into(),
        why,
    })?;
    Ok(Some(manifest.features))
}

fn read_if_there(path: &ConfinedPath, limit: u64) -> Result<Option<Vec<u8>>> {
    match path.read(limit) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        contents => contents.map(Some).at(path),
    }
}

fn parse<T: for<'a> Deserialize<'a>>(json: &[u8], path: &ConfinedPath) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| StoreError::Damaged {
        path: path.into(),
        why: error.to_string(),
    })
}

fn write_json(path: &ConfinedPath, content: &impl Serialize) -> Result<()> {
    path.write_atomically(|out| {
        serde_json::to_writer_pretty(&mut *out, content)?;
        out.write_all(b"\n")
    })
    .at(path)
}

/// The keys in `index` up to the first line that is torn or no JSON string, each with its line's end.
fn whole_lines(index: &[u8]) -> impl Iterator<Item = (String, usize)> {
    let mut end = 0;
    index
        .split_inclusive(|&byte| byte == b'\n')
        .take_while(|line| line.ends_with(b"\n"))
        .map_while(|line| {
            serde_json::from_slice::<String>(line)
                .ok()
                .map(|key| (key, line.len()))
        })
        .map(move |(key, len)| {
            end += len;
            (key, end)
        })
}

#[cfg(test)]
mod tests;
