//! The caches: Cutline's own, and those of the libraries whose files it reads.
//!
//! ```text
//! <cache>/
//!   files/     published files under their published names; NAME.part while one is fetched
//!   data/      a directory of each asset that is unpacked
//!   jobs/      the event log and the lock of each asset
//! ```

use super::assets::{Asset, AssetFile};
use super::error::FetchError;
use crate::files::ConfinedPath;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// The path list of caches: shared ones first, the user's last.
pub const CACHE_VARIABLE: &str = "CUTLINE_CACHE";
const HUB: &str = "https://huggingface.co/";

/// Whose cache it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
pub enum CacheOwner {
    /// Cutline's own.
    #[strum(to_string = "cutline")]
    Cutline,
    /// PyTorch's: `hub/checkpoints`.
    #[strum(to_string = "torch")]
    Torch,
    /// Keras': `models`.
    #[strum(to_string = "keras")]
    Keras,
    /// The snapshots of the Hugging Face Hub.
    #[strum(to_string = "hugging face")]
    HuggingFace,
    /// kagglehub's.
    #[strum(to_string = "kagglehub")]
    Kaggle,
}

impl CacheOwner {
    /// The owner's name.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A directory with fetched files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Whose it is.
    pub owner: CacheOwner,
    /// Its directory, which need not exist.
    pub directory: PathBuf,
}

/// An asset or a file in a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The cache.
    pub cache: Cache,
    /// The file or directory.
    pub path: PathBuf,
}

/// The caches in the order in which they are searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caches(Vec<Cache>);

impl Caches {
    /// The caches that the environment names: `CUTLINE_CACHE` or the directory `cutline` of `XDG_CACHE_HOME`, and those of
    /// PyTorch, Keras, the Hugging Face Hub and kagglehub by their own variables.
    pub fn from_environment(variable: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let directory = |name: &str| set(name).map(PathBuf::from);
        let home = directory("HOME");
        let below_home = |below: &str| home.as_ref().map(|home| home.join(below));
        let usual = directory("XDG_CACHE_HOME").or_else(|| below_home(".cache"));
        let in_usual = |name: &str| usual.as_ref().map(|usual| usual.join(name));
        let own: Vec<PathBuf> = match set(CACHE_VARIABLE) {
            Some(list) => std::env::split_paths(&list)
                .filter(|path| !path.as_os_str().is_empty())
                .collect(),
            None => in_usual("cutline").into_iter().collect(),
        };
        let torch = directory("TORCH_HOME").or_else(|| in_usual("torch"));
        let keras = directory("KERAS_HOME").or_else(|| below_home(".keras"));
        let hub = directory("HF_HUB_CACHE")
            .or_else(|| directory("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| Some(directory("HF_HOME")?.join("hub")))
            .or_else(|| in_usual("huggingface/hub"));
        let kaggle = directory("KAGGLEHUB_CACHE").or_else(|| below_home(".cache/kagglehub"));
        let others = [
            (CacheOwner::Torch, torch.map(|home| home.join("hub/checkpoints"))),
            (CacheOwner::Keras, keras.map(|home| home.join("models"))),
            (CacheOwner::HuggingFace, hub),
            (CacheOwner::Kaggle, kaggle),
        ];
        let others = others
            .into_iter()
            .filter_map(|(owner, directory)| Some((owner, directory?)));
        let own = own.into_iter().map(|directory| (CacheOwner::Cutline, directory));
        let caches = own
            .chain(others)
            .map(|(owner, directory)| Cache { owner, directory });
        Self(caches.collect())
    }

    /// All caches.
    pub fn iter(&self) -> impl Iterator<Item = &Cache> {
        self.0.iter()
    }

    /// The cache that is written to: the last of Cutline's own.
    ///
    /// # Errors
    /// If the environment names none.
    pub fn writable(&self) -> Result<ConfinedPath, FetchError> {
        let own = self
            .0
            .iter()
            .rev()
            .find(|cache| cache.owner == CacheOwner::Cutline);
        Ok(own.ok_or(FetchError::NoCache)?.directory.clone().into())
    }

    /// An asset in the first cache that has it whole. Only the size of its file is checked.
    pub fn find(&self, asset: &Asset) -> Option<Found> {
        if !asset.is_directory() {
            return self.find_file(asset.files.first()?);
        }
        let place = |cache: &Cache| match cache.owner {
            CacheOwner::Cutline => {
                Some(data_directory(&cache.directory, &asset.name)).filter(|path| path.is_dir())
            }
            CacheOwner::Kaggle => latest_version(&cache.directory, asset.kaggle.as_deref()?),
            _ => None,
        };
        self.first(place)
    }

    /// A published file in the first cache that has it in its published size.
    pub fn find_file(&self, file: &AssetFile) -> Option<Found> {
        let is_whole = |path: &PathBuf| {
            let found = fs::metadata(path).ok().filter(fs::Metadata::is_file);
            found.is_some_and(|found| file.bytes.is_none_or(|bytes| bytes == found.len()))
        };
        let place = |cache: &Cache| match cache.owner {
            CacheOwner::Cutline => Some(cache.directory.join("files").join(&file.name)).filter(is_whole),
            CacheOwner::Torch | CacheOwner::Keras => Some(cache.directory.join(&file.name)).filter(is_whole),
            CacheOwner::HuggingFace => file
                .urls
                .iter()
                .find_map(|url| snapshot(&cache.directory, url).filter(is_whole)),
            CacheOwner::Kaggle => None,
        };
        self.first(place)
    }

    fn first(&self, place: impl Fn(&Cache) -> Option<PathBuf>) -> Option<Found> {
        self.0.iter().find_map(|cache| {
            Some(Found {
                path: place(cache)?,
                cache: cache.clone(),
            })
        })
    }
}

/// The directory of an unpacked asset.
fn data_directory(cache: &Path, asset: &str) -> PathBuf {
    cache.join("data").join(asset)
}

/// The newest whole version of a dataset that kagglehub has loaded.
fn latest_version(cache: &Path, dataset: &str) -> Option<PathBuf> {
    let directory = cache.join("datasets").join(dataset);
    let versions = fs::read_dir(directory.join("versions")).ok()?.flatten();
    let is_whole = |version: &u64| {
        let marker = format!("{version}.complete");
        directory.join(&marker).is_file() || directory.join(".complete").join(marker).is_file()
    };
    let numbers = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok());
    let newest = numbers.filter(is_whole).max()?;
    Some(directory.join("versions").join(newest.to_string())).filter(|path| path.is_dir())
}

/// The file that the hub's cache has of an address.
fn snapshot(cache: &Path, url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix(HUB)?;
    let (kind, path) = match path.strip_prefix("datasets/") {
        Some(path) => ("datasets", path),
        None => ("models", path),
    };
    let mut parts = path.splitn(5, '/');
    let (owner, name) = (parts.next()?, parts.next()?);
    let (_resolve, revision, file) = (parts.next()?, parts.next()?, parts.next()?);
    let repository = cache.join(format!("{kind}--{owner}--{name}"));
    let noted = fs::read_to_string(repository.join("refs").join(revision)).ok();
    let revision = noted.as_deref().map_or(revision, str::trim);
    let is_plain = !revision.is_empty() && !revision.contains(['/', '\\']) && !revision.starts_with('.');
    is_plain.then(|| repository.join("snapshots").join(revision).join(file))
}

/// Replaces the Hugging Face Hub in an address.
pub(super) fn at_endpoint(url: &str, endpoint: &str) -> Option<String> {
    let path = url.strip_prefix(HUB)?;
    Some(format!("{}/{path}", endpoint.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::super::assets::Catalog;
    use super::*;

    fn caches(home: &Path, variables: &[(&str, &str)]) -> Caches {
        Caches::from_environment(&|name| {
            let set = variables.iter().find(|(set, _)| *set == name);
            let value = set.map(|(_, value)| home.join(value).into_os_string());
            value.or_else(|| (name == "HOME").then(|| home.into()))
        })
    }

    fn write(path: PathBuf, content: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    #[test]
    fn file_is_found_in_the_cache_of_each_library() {
        let home = tempfile::tempdir().unwrap();
        let catalog = Catalog::load(&|_| None).unwrap();
        let found = |name: &str, variables: &[(&str, &str)]| {
            let found = caches(home.path(), variables).find(catalog.find(name).unwrap())?;
            Some((
                found.cache.owner,
                found.path.strip_prefix(home.path()).unwrap().to_owned(),
            ))
        };
        let files = [
            (
                "resnet101",
                CacheOwner::Torch,
                ".cache/torch/hub/checkpoints/resnet101-63fe2227.pth",
            ),
            (
                "xception",
                CacheOwner::Keras,
                ".keras/models/xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
            ),
            (
                "resnet50-timm-hub",
                CacheOwner::HuggingFace,
                ".cache/huggingface/hub/models--timm--resnet50.a1_in1k/snapshots/abc123/model.safetensors",
            ),
        ];
        write(
            home.path()
                .join(".cache/huggingface/hub/models--timm--resnet50.a1_in1k/refs/main"),
            "abc123",
        );
        for (name, owner, path) in files {
            assert_eq!(found(name, &[]), None);
            write(home.path().join(path), "x");
            assert_eq!(found(name, &[]), Some((owner, path.into())));
        }
        assert_eq!(found("resnet101", &[("TORCH_HOME", "other")]), None);
        assert_eq!(found("xception", &[("KERAS_HOME", "other")]), None);
        assert_eq!(found("resnet50-timm-hub", &[("HF_HOME", "other")]), None);
        let moved = "own/files/resnet101-63fe2227.pth";
        write(home.path().join(moved), "x");
        let first = found("resnet101", &[("CUTLINE_CACHE", "own")]);
        assert_eq!(first, Some((CacheOwner::Cutline, moved.into())));
    }

    #[test]
    fn newest_whole_version_of_kagglehub_is_found() {
        let home = tempfile::tempdir().unwrap();
        let catalog = Catalog::load(&|_| None).unwrap();
        let asset = catalog.find("flickr8k-kaggle").unwrap();
        let dataset = home.path().join(".cache/kagglehub/datasets/adityajn105/flickr8k");
        for version in ["1", "2", "10", "11"] {
            fs::create_dir_all(dataset.join("versions").join(version)).unwrap();
        }
        assert_eq!(caches(home.path(), &[]).find(asset), None);
        write(dataset.join("2.complete"), "");
        write(dataset.join(".complete/10.complete"), "");
        let found = caches(home.path(), &[]).find(asset).unwrap();
        assert_eq!(found.path, dataset.join("versions/10"));
    }

    #[test]
    fn file_of_another_size_is_not_found() {
        let home = tempfile::tempdir().unwrap();
        let catalog = Catalog::load(&|_| None).unwrap();
        let file = &catalog.find("meteor").unwrap().files[0];
        write(home.path().join(".cache/cutline/files/meteor-1.5.jar"), "short");
        assert_eq!(caches(home.path(), &[]).find_file(file), None);
    }

    #[test]
    fn list_of_caches_is_searched_in_order_and_the_last_is_written_to() {
        let list = std::env::join_paths(["/shared", "/mine"]).unwrap();
        let caches = Caches::from_environment(&|name| (name == CACHE_VARIABLE).then(|| list.clone()));
        let own: Vec<&Path> = caches.iter().map(|cache| cache.directory.as_path()).collect();
        assert_eq!(own, [Path::new("/shared"), Path::new("/mine")]);
        assert_eq!(caches.writable().unwrap().as_path(), Path::new("/mine"));
        assert!(matches!(
            Caches::from_environment(&|_| None).writable(),
            Err(FetchError::NoCache)
        ));
    }

    #[test]
    fn revision_that_leads_out_is_not_followed() {
        let hub = tempfile::tempdir().unwrap();
        write(hub.path().join("models--a--b/refs/main"), "../../../etc");
        assert_eq!(
            snapshot(hub.path(), "https://huggingface.co/a/b/resolve/main/passwd"),
            None
        );
    }
}
