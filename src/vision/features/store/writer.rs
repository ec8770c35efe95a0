//! Writing a feature store so that an interruption at any moment costs no more than the last batch.

use super::{
    At, Complete, Difference, FeatureSpec, MAX_INDEX_BYTES, Manifest, Paths, Result, StoreError, VERSION,
    read_if_there, read_manifest, whole_lines, write_json,
};
use crate::files::ConfinedPath;
use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::io::Write;

/// Appends rows to a store, which it locks.
#[derive(Debug)]
pub struct FeatureWriter {
    paths: Paths,
    spec: FeatureSpec,
    rows: AppendFile,
    index: AppendFile,
    /// Every image appended, those of `unindexed` included.
    keys: HashSet<String>,
    /// Index lines of rows that may not have reached the disk yet.
    unindexed: Vec<u8>,
    /// The bytes of the row being written.
    row: Vec<u8>,
    // The kernel releases the lock when the file is closed.
    _lock: File,
}

impl FeatureWriter {
    /// Opens the store in `dir` for appending, a new one where there is none, else after what it holds.
    ///
    /// What an interruption tore is cut off. The store counts as incomplete until [`finish`](Self::finish).
    ///
    /// # Errors
    /// [`StoreError::Differs`] names the first field in which the store's features are not those of `spec`;
    /// [`StoreError::Busy`] where another process writes to it.
    pub fn open_or_resume(dir: impl Into<ConfinedPath>, spec: FeatureSpec) -> Result<Self> {
        let mut writer = Self::lock(dir.into(), spec)?;
        match read_manifest(&writer.paths)? {
            Some(stored) => writer.reject_other(&stored)?,
            None => return writer.begin(),
        }
        writer.paths.complete.remove_file().at(&writer.paths.complete)?;
        writer.cut_to_whole_rows()?;
        Ok(writer)
    }

    /// Opens a store in `dir` that holds nothing, whatever was there before.
    ///
    /// # Errors
    /// [`StoreError::Busy`] where another process writes to it.
    pub fn create_new(dir: impl Into<ConfinedPath>, spec: FeatureSpec) -> Result<Self> {
        Self::lock(dir.into(), spec)?.begin()
    }

    /// What the rows are.
    pub fn spec(&self) -> &FeatureSpec {
        &self.spec
    }

    /// How many images have been appended, by earlier writers too.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no image has been appended.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the image has been appended.
    pub fn contains(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// Appends an image's row, features `[regions, channels]` or a [`FeatureSpec::row`]; they are safe from an interruption after
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`StoreError::RowLength`], [`StoreError::Duplicate`], [`StoreError::Unstorable`], [`StoreError::Io`]
    /// (a full disk); the store is then as it was before.
    pub fn append(&mut self, key: &str, features: &[f32]) -> Result<()> {
        self.check(key, features)?;
        self.row.clear();
        self.spec.encode(features, &mut self.row);
        self.rows.append(&self.row).at(&self.paths.rows)?;
        serde_json::to_writer(&mut self.unindexed, key)
            .map_err(Into::into)
            .at(&self.paths.index)?;
        self.unindexed.push(b'\n');
        self.keys.insert(key.to_owned());
        Ok(())
    }

    /// Syncs the rows appended so far, then their lines in the index, to the disk.
    ///
    /// # Errors
    /// [`StoreError::Io`]; may be tried again.
    pub fn flush(&mut self) -> Result<()> {
        if self.unindexed.is_empty() {
            return Ok(());
        }
        self.rows.file.sync_data().at(&self.paths.rows)?;
        self.index.append(&self.unindexed).at(&self.paths.index)?;
        self.unindexed.clear();
        Ok(())
    }

    /// Flushes, marks the store complete, and returns the number of its rows.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn finish(mut self) -> Result<usize> {
        self.flush()?;
        self.index.file.sync_all().at(&self.paths.index)?;
        self.rows.file.sync_all().at(&self.paths.rows)?;
        let rows = self.len();
        write_json(&self.paths.complete, &Complete { rows })?;
        Ok(rows)
    }

    /// Opens the files, and makes sure to be the only one to do so.
    fn lock(dir: ConfinedPath, spec: FeatureSpec) -> Result<Self> {
        let paths = Paths::new(dir);
        paths.dir.create_dir_all().at(&paths.dir)?;
        let lock = paths.lock.open_in_place().at(&paths.lock)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Busy {
                    dir: paths.dir.into(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(error).at(&paths.lock),
        }
        paths.dir.remove_leftovers().at(&paths.dir)?;
        Ok(Self {
            index: AppendFile::open(&paths.index)?,
            rows: AppendFile::open(&paths.rows)?,
            _lock: lock,
            paths,
            spec,
            keys: HashSet::new(),
            unindexed: Vec::new(),
            row: Vec::new(),
        })
    }

    /// Empties the store. The manifest is removed first and written last, so rows are never read with the wrong one.
    /// Rows are written into a new file: a reader that has mapped the old one would crash if it were shortened.
    fn begin(mut self) -> Result<Self> {
        let Paths {
            complete,
            manifest,
            index,
            rows,
            ..
        } = &self.paths;
        for file in [complete, manifest, index, rows] {
            file.remove_file().at(file)?;
        }
        self.index = AppendFile::open(index)?;
        self.rows = AppendFile::open(rows)?;
        let header = Manifest {
            version: VERSION,
            features: self.spec.clone(),
        };
        write_json(&self.paths.manifest, &header)?;
        Ok(self)
    }

    fn reject_other(&self, stored: &FeatureSpec) -> Result<()> {
        match stored.first_difference(&self.spec) {
            None => Ok(()),
            Some(Difference { field, values }) => {
                let [stored, wanted] = values;
                Err(StoreError::Differs {
                    dir: (&self.paths.dir).into(),
                    field,
                    stored,
                    wanted,
                })
            }
        }
    }

    /// Cuts rows and index to what both hold whole.
    fn cut_to_whole_rows(&mut self) -> Result<()> {
        let row_bytes = self.spec.row_bytes() as u64;
        let whole_rows = self.rows.len / row_bytes.max(1);
        let index = read_if_there(&self.paths.index, MAX_INDEX_BYTES)?.unwrap_or_default();
        let mut index_len = 0;
        for (key, end) in whole_lines(&index).take(usize::try_from(whole_rows).unwrap_or(usize::MAX)) {
            if !self.keys.insert(key) {
                break; // a line that no writer of ours wrote: cut here, as with a torn one
            }
            index_len = end as u64;
        }
        self.index.cut(index_len).at(&self.paths.index)?;
        self.rows
            .cut(self.keys.len() as u64 * row_bytes)
            .at(&self.paths.rows)
    }

    fn check(&self, key: &str, features: &[f32]) -> Result<()> {
        let key = || key.to_owned();
        if features.len() != self.spec.row_len() {
            return Err(StoreError::RowLength {
                key: key(),
                expected: self.spec.row_len(),
                found: features.len(),
            });
        }
        if self.keys.contains(&key()) {
            return Err(StoreError::Duplicate { key: key() });
        }
        let largest = self.spec.largest();
        // A NaN is outside of every range.
        match features
            .iter()
            .find(|value| !(-largest..=largest).contains(*value))
        {
            Some(&value) => Err(StoreError::Unstorable { key: key(), value }),
            None => Ok(()),
        }
    }
}

/// A file that only grows: an append that fails leaves it as it was.
#[derive(Debug)]
struct AppendFile {
    file: File,
    len: u64,
}

impl AppendFile {
    fn open(path: &ConfinedPath) -> Result<Self> {
        let file = path.append().at(path)?;
        let len = file.metadata().at(path)?.len();
        Ok(Self { file, len })
    }

    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            // A full disk may have taken some of the bytes. If truncating fails too, resuming does it.
            let _ = self.file.set_len(self.len);
            return Err(error);
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn cut(&mut self, len: u64) -> std::io::Result<()> {
        self.file.set_len(len)?;
        self.len = len;
        Ok(())
    }
}
