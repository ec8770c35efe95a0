//! Reading a complete feature store through a memory map.

use super::{
    At, Complete, FeatureSpec, MAX_INDEX_BYTES, MAX_JSON_BYTES, Paths, Result, StoreError, parse,
    read_if_there, read_manifest, whole_lines,
};
use crate::files::ConfinedPath;
use memmap2::Mmap;
use std::collections::HashMap;

/// A complete feature store, memory-mapped.
#[derive(Debug)]
pub struct FeatureStore {
    spec: FeatureSpec,
    bytes: Mmap,
    keys: Vec<String>,
    rows: HashMap<String, usize>,
}

impl FeatureStore {
    /// Opens the store in `dir`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Incomplete`], [`StoreError::Damaged`] where the files
    /// contradict each other, each with what to do.
    pub fn open(dir: impl Into<ConfinedPath>) -> Result<Self> {
        let paths = Paths::new(dir.into());
        let spec = read_manifest(&paths)?.ok_or_else(|| StoreError::NotFound {
            dir: (&paths.dir).into(),
        })?;
        let index = read_if_there(&paths.index, MAX_INDEX_BYTES)?.unwrap_or_default();
        let keys: Vec<String> = whole_lines(&index).map(|(key, _)| key).collect();
        let expected = expected_rows(&paths, keys.len())?;
        let damaged = |path: &ConfinedPath, why| StoreError::Damaged {
            path: path.into(),
            why,
        };
        if keys.len() != expected {
            let why = format!("{} whole lines where {expected} are expected", keys.len());
            return Err(damaged(&paths.index, why));
        }
        let bytes = map(&paths.rows)?;
        let expected_bytes = expected.saturating_mul(spec.row_bytes());
        if bytes.len() != expected_bytes {
            let why = format!("{} bytes where {expected_bytes} are expected", bytes.len());
            return Err(damaged(&paths.rows, why));
        }
        let rows: HashMap<_, _> = keys.iter().cloned().zip(0..).collect();
        if rows.len() != keys.len() {
            return Err(damaged(&paths.index, "an image stands there twice".to_owned()));
        }
        Ok(Self {
            spec,
            bytes,
            keys,
            rows,
        })
    }

    /// What the rows are.
    pub fn spec(&self) -> &FeatureSpec {
        &self.spec
    }

    /// Regions and channels of every row.
    pub fn shape(&self) -> (usize, usize) {
        (self.spec.regions, self.spec.channels)
    }

    /// How many images there are.
    pub fn rows(&self) -> usize {
        self.keys.len()
    }

    /// The images' keys in the order of their rows.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(String::as_str)
    }

    /// The row of an image.
    pub fn row_of(&self, key: &str) -> Option<usize> {
        self.rows.get(key).copied()
    }

    /// An image's row: features `[regions, channels]`, region after region; see [`FeatureSpec::real_regions`].
    pub fn get(&self, key: &str) -> Option<Vec<f32>> {
        let row = self.row_of(key)?;
        let mut features = vec![0.0; self.spec.row_len()];
        self.read_into(row, &mut features);
        Some(features)
    }

    /// Writes a row into `out`.
    ///
    /// # Panics
    /// When there is no such row, or `out` is not [`FeatureSpec::row_len`] long.
    pub fn read_into(&self, row: usize, out: &mut [f32]) {
        let len = self.spec.row_bytes();
        self.spec.decode(&self.bytes[row * len..][..len], out);
    }
}

/// What the marker of completion says.
fn expected_rows(paths: &Paths, so_far: usize) -> Result<usize> {
    let marker = read_if_there(&paths.complete, MAX_JSON_BYTES)?.ok_or_else(|| StoreError::Incomplete {
        dir: (&paths.dir).into(),
        rows: so_far,
    })?;
    let Complete { rows } = parse(&marker, &paths.complete)?;
    Ok(rows)
}

fn map(path: &ConfinedPath) -> Result<Mmap> {
    let file = path.open().at(path)?;
    // SAFETY: the mapping is read-only, and `FeatureWriter` never shortens or overwrites the rows of a complete store: it
    // deletes the file and creates another, and this mapping keeps the deleted one. Only another program can shorten
    // the file; then reading a missing page ends the process (SIGBUS). Any bytes are valid numbers.
    unsafe { Mmap::map(&file) }.at(path)
}
