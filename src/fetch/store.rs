//! Assets brought into the cache.

use super::assets::{Asset, AssetFile};
use super::cache::{Cache, CacheOwner, Caches, Found, at_endpoint};
use super::checksum::Hasher;
use super::download::{Wanted, check, download, hash_all};
use super::error::FetchError;
use super::http::Client;
use super::unpack::unpack;
use super::watcher::FetchObserver;
use crate::files::ConfinedPath;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

const FILES: &str = "files";
const DATA: &str = "data";
const JOBS: &str = "jobs";
/// Where files are served under their published names; it is asked first.
const MIRROR: &str = "CUTLINE_MIRROR";
/// Another server for addresses of the Hugging Face Hub.
const ENDPOINT: &str = "HF_ENDPOINT";
/// Variables that forbid downloads.
const OFFLINE: [&str; 2] = ["CUTLINE_OFFLINE", "HF_HUB_OFFLINE"];

/// The caches, and the way to the network.
#[derive(Debug)]
pub struct Store {
    caches: Caches,
    mirror: Option<String>,
    endpoint: Option<String>,
    offline: Option<&'static str>,
}

/// Whether a checksum verifies what was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// All published checksums are right.
    Verified,
    /// These files have no published checksum; their SHA-256 now.
    Unverified(Vec<String>),
}

/// An asset that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Where.
    pub found: Found,
    /// Whether it is verified.
    pub verification: Verification,
}

impl Store {
    /// The caches and mirrors that the environment names.
    pub fn from_environment(variable: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let text = |name: &str| {
            let value = variable(name)?.into_string().ok()?;
            Some(value).filter(|value| !value.is_empty())
        };
        let is_true = |name: &&str| {
            let value = text(name).unwrap_or_default().to_ascii_lowercase();
            ["1", "true", "yes", "on"].contains(&value.as_str())
        };
        Self {
            caches: Caches::from_environment(variable),
            mirror: text(MIRROR),
            endpoint: text(ENDPOINT),
            offline: OFFLINE.into_iter().find(is_true),
        }
    }

    /// The caches.
    pub fn caches(&self) -> &Caches {
        &self.caches
    }

    /// The directory of the job that fetches an asset; its lock makes other processes wait.
    ///
    /// # Errors
    /// If there is no cache to write to.
    pub fn job_directory(&self, asset: &Asset) -> Result<ConfinedPath, FetchError> {
        let cache = self.caches.writable()?;
        Ok(PathBuf::from(&cache).join(JOBS).join(&asset.name).into())
    }

    /// The addresses of a file in the order in which they are tried: that of the mirror first.
    pub fn addresses(&self, file: &AssetFile) -> Vec<String> {
        let mirrored = |mirror: &String| {
            format!(
                "{}/{}",
                mirror.trim_end_matches('/'),
                file.name.replace(' ', "%20")
            )
        };
        let published = file.urls.iter().map(|url| {
            let endpoint = self.endpoint.as_deref();
            endpoint
                .and_then(|endpoint| at_endpoint(url, endpoint))
                .unwrap_or_else(|| url.clone())
        });
        self.mirror.iter().map(mirrored).chain(published).collect()
    }

    /// Checks that a download may be started.
    ///
    /// # Errors
    /// If the environment forbids it, or the asset has no address.
    pub fn check_network(&self, asset: &Asset) -> Result<(), FetchError> {
        if let (Some(dataset), true) = (&asset.kaggle, asset.files.is_empty()) {
            return Err(FetchError::NoAddress {
                name: asset.name.clone(),
                advice: format!(
                    "Kaggle asks for an account; with one, `kagglehub.dataset_download(\"{dataset}\")` in Python loads it, and it is found then"
                ),
            });
        }
        match self.offline {
            Some(variable) => Err(FetchError::Offline {
                variable,
                command: format!("cutline fetch {} --yes", asset.name),
            }),
            None => Ok(()),
        }
    }

    /// Verifies a file in a cache, unless it was verified on its way there.
    ///
    /// # Errors
    /// If it cannot be read, or its checksum is wrong.
    pub fn verify(&self, asset: &Asset, found: Found) -> Result<Fetched, FetchError> {
        // Another file may have the published name of one at an address.
        let is_certain = found.cache.owner == CacheOwner::Cutline && !asset.is_from_address();
        let is_checked = !is_certain && !asset.is_directory();
        let mut unverified = Vec::new();
        if is_checked {
            for file in &asset.files {
                unverified.extend(verify_file(file, &found.path)?);
            }
        }
        let verification = match asset.is_verifiable() && !asset.files.is_empty() {
            true => Verification::Verified,
            false => Verification::Unverified(unverified),
        };
        Ok(Fetched { found, verification })
    }

    /// Downloads and unpacks an asset into the cache that is written to. No other process may work on it: see
    /// [`Store::job_directory`].
    ///
    /// # Errors
    /// If a file cannot be downloaded, verified or unpacked, or the watcher stops it. What was downloaded is kept.
    pub fn fetch(&self, asset: &Asset, watcher: &mut dyn FetchObserver) -> Result<Fetched, FetchError> {
        self.check_network(asset)?;
        let files = self.caches.writable()?.join(FILES);
        let client = Client::new();
        let mut sources = Vec::new();
        let mut unverified = Vec::new();
        for file in &asset.files {
            if let Some(found) = self.caches.find_file(file) {
                match verify_file(file, &found.path) {
                    Ok(digits) => {
                        unverified.extend(digits);
                        sources.push(found.path);
                        continue;
                    }
                    Err(error) => watcher.notice(&format!("{error}; it is passed over")),
                }
            }
            let digits = download(&client, &self.wanted(file), &files, watcher)?;
            unverified.extend(file.hash.is_none().then(|| format!("sha256:{digits}")));
            sources.push(files.join(&file.name).as_path().to_owned());
        }
        let found = self.assemble(asset, &sources, watcher)?;
        // Archives are not needed any more; those of other caches stay.
        for file in asset.files.iter().filter(|_| asset.is_directory()) {
            let leftover = files.join(&file.name);
            leftover.remove_file().map_err(FetchError::at(&leftover))?;
        }
        Ok(fetched(found, unverified))
    }

    /// Takes the files of an asset from a directory, where the user has put them.
    ///
    /// # Errors
    /// If one is missing or is not the published one, or the cache cannot be written.
    pub fn adopt(
        &self,
        asset: &Asset,
        directory: &Path,
        watcher: &mut dyn FetchObserver,
    ) -> Result<Fetched, FetchError> {
        let sources: Vec<PathBuf> = asset
            .files
            .iter()
            .map(|file| directory.join(&file.name))
            .collect();
        let missing = asset
            .files
            .iter()
            .zip(&sources)
            .filter(|(_, path)| !path.is_file());
        let missing: Vec<String> = missing.map(|(file, _)| file.name.clone()).collect();
        if !missing.is_empty() || sources.is_empty() {
            return Err(FetchError::NotThere {
                asset: asset.name.clone(),
                directory: directory.to_owned(),
                missing,
            });
        }
        let mut unverified = Vec::new();
        for (file, source) in asset.files.iter().zip(&sources) {
            unverified.extend(verify_file(file, source)?);
        }
        Ok(fetched(self.assemble(asset, &sources, watcher)?, unverified))
    }

    fn wanted<'a>(&self, file: &'a AssetFile) -> Wanted<'a> {
        Wanted {
            urls: self.addresses(file),
            ..published(file)
        }
    }

    /// Puts verified files in their place: one under its name, or all of them in a directory that appears when it is whole.
    fn assemble(
        &self,
        asset: &Asset,
        sources: &[PathBuf],
        watcher: &mut dyn FetchObserver,
    ) -> Result<Found, FetchError> {
        let root = self.caches.writable()?;
        let found = |place: &ConfinedPath| Found {
            cache: Cache {
                owner: CacheOwner::Cutline,
                directory: root.as_path().to_owned(),
            },
            path: place.as_path().to_owned(),
        };
        if !asset.is_directory() {
            let place = root.join(FILES).join(&asset.files[0].name);
            if sources[0] != place.as_path() {
                copy(&sources[0], &place)?;
            }
            return Ok(found(&place));
        }
        let place = root.join(DATA).join(&asset.name);
        let new = root.join(DATA).join(format!(".{}.new", asset.name));
        // Of a process that was killed.
        new.remove_tree().map_err(FetchError::at(&new))?;
        let filled = new
            .create_dir_all()
            .map_err(FetchError::at(&new))
            .and_then(|()| fill(asset, sources, &new, watcher));
        let moved = filled.and_then(|()| {
            let synced = new.sync_file_system().and_then(|()| place.remove_tree());
            synced
                .and_then(|()| new.rename_to(&asset.name))
                .and_then(|()| root.join(DATA).sync_directory())
                .map_err(FetchError::at(&place))
        });
        if moved.is_err() {
            // The error of the work matters more.
            let _ = new.remove_tree();
        }
        moved.map(|()| found(&place))
    }
}

fn fetched(found: Found, unverified: Vec<String>) -> Fetched {
    Fetched {
        found,
        verification: match unverified.is_empty() {
            true => Verification::Verified,
            false => Verification::Unverified(unverified),
        },
    }
}

fn fill(
    asset: &Asset,
    sources: &[PathBuf],
    directory: &ConfinedPath,
    watcher: &mut dyn FetchObserver,
) -> Result<(), FetchError> {
    for (file, source) in asset.files.iter().zip(sources) {
        match (file.unpack, &file.place) {
            (Some(kind), _) => unpack(source, kind, directory, watcher)?,
            (None, place) => copy(source, &directory.join(place.as_ref().unwrap_or(&file.name)))?,
        }
    }
    Ok(())
}

fn copy(source: &Path, place: &ConfinedPath) -> Result<(), FetchError> {
    let mut from = File::open(source).map_err(FetchError::at(source))?;
    let parent = place.parent().map_or(Ok(()), |parent| parent.create_dir_all());
    parent
        .and_then(|()| place.write_atomically(|out| io::copy(&mut from, out).map(drop)))
        .map_err(FetchError::at(place))
}

/// Compares a file with the published one. Returns its checksum if none is published.
pub(super) fn verify_file(file: &AssetFile, path: &Path) -> Result<Option<String>, FetchError> {
    let mut hasher = Hasher::for_checksum(file.hash.as_ref());
    let length = File::open(path)
        .and_then(|mut found| hash_all(&mut found, &mut hasher))
        .map_err(FetchError::at(path))?;
    check(path.display().to_string(), &published(file), length, &hasher)?;
    Ok(file.hash.is_none().then(|| format!("sha256:{}", hasher.digits())))
}

fn published(file: &AssetFile) -> Wanted<'_> {
    Wanted {
        name: &file.name,
        urls: file.urls.clone(),
        bytes: file.bytes,
        hash: file.hash.as_ref(),
    }
}
