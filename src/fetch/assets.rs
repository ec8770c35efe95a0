//! The table of assets: datasets, weights and metric data with their addresses and checksums.

use super::checksum::{Checksum, Hasher};
use super::error::FetchError;
use super::store::verify_file;
use crate::config::user_directory;
use crate::suggest::UnknownName;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

const BUILT_IN: &str = include_str!("assets.toml");
/// The user's table, in the directory of the user's settings.
const USER_TABLE: &str = "assets.toml";
/// A longer table is a mistake.
const MAX_TABLE_BYTES: u64 = 4 << 20;

/// Something that can be fetched by its name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asset {
    /// Its name in the table.
    #[serde(skip)]
    pub name: String,
    /// What it is for.
    pub kind: AssetKind,
    /// A line on its content.
    pub about: String,
    /// The terms, as the publisher states them.
    pub license: String,
    /// Who made and who distributes it.
    pub origin: String,
    /// `OWNER/NAME` of a dataset that kagglehub may have loaded.
    #[serde(default)]
    pub kaggle: Option<String>,
    /// Its files.
    pub files: Vec<AssetFile>,
}

/// What an asset is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AssetKind {
    /// A source of `cutline prepare`.
    Dataset,
    /// Weights of a CNN.
    Weights,
    /// Data of a metric.
    Metric,
}

impl AssetKind {
    /// The name in the table.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A published file of an asset.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetFile {
    /// The published name.
    #[serde(default)]
    pub name: String,
    /// Addresses, tried in turn.
    pub urls: Vec<String>,
    /// The exact size, if it is published.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// The rounded size in MiB, if only that is published.
    #[serde(default)]
    pub mib: Option<f64>,
    /// The published checksum, if there is one.
    #[serde(default)]
    pub hash: Option<Checksum>,
    /// Who states the checksum, if it is not the distributor.
    #[serde(default)]
    pub hash_from: Option<String>,
    /// How it is unpacked into the directory of the asset.
    #[serde(default)]
    pub unpack: Option<ArchiveKind>,
    /// The path in that directory of a file that is not unpacked.
    #[serde(default)]
    pub place: Option<String>,
}

/// A kind of archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ArchiveKind {
    /// A zip archive.
    #[serde(rename = "zip")]
    Zip,
    /// A gzipped tar archive.
    #[serde(rename = "tar.gz")]
    TarGz,
}

impl Asset {
    /// A single file at an address that is not in the table. Without a checksum that tells it from other files of its
    /// published name, digits of the address precede the name.
    ///
    /// # Errors
    /// If the address is not of HTTP, or names no file.
    pub fn at_address(url: &str, hash: Option<Checksum>) -> Result<Self, FetchError> {
        let is_known = hash.is_some();
        let mut file = AssetFile {
            name: String::new(),
            urls: vec![url.to_owned()],
            bytes: None,
            mib: None,
            hash,
            hash_from: None,
            unpack: None,
            place: None,
        };
        file.complete().map_err(|problem| FetchError::Address {
            url: url.to_owned(),
            problem,
        })?;
        if !is_known {
            let mut hasher = Hasher::for_checksum(None);
            hasher.update(url.as_bytes());
            file.name = format!("{}-{}", &hasher.digits()[..8], file.name);
        }
        Ok(Self {
            name: file.name.clone(),
            kind: AssetKind::Dataset,
            about: String::new(),
            license: "not stated: see the address".to_owned(),
            origin: url.to_owned(),
            kaggle: None,
            files: vec![file],
        })
    }

    /// Whether it is not in the table.
    pub fn is_from_address(&self) -> bool {
        self.about.is_empty()
    }

    /// Whether its files are put together in a directory; else it is one file.
    pub fn is_directory(&self) -> bool {
        self.kaggle.is_some()
            || self
                .files
                .iter()
                .any(|file| file.unpack.is_some() || file.place.is_some())
    }

    /// The size of all files in bytes, as far as it is published; whether it is exact.
    pub fn size(&self) -> Option<Size> {
        let sizes: Option<Vec<Size>> = self.files.iter().map(AssetFile::size).collect();
        let sizes = sizes.filter(|sizes| !sizes.is_empty())?;
        Some(Size {
            bytes: sizes.iter().map(|size| size.bytes).sum(),
            is_exact: sizes.iter().all(|size| size.is_exact),
        })
    }

    /// Whether a checksum of every file is published.
    pub fn is_verifiable(&self) -> bool {
        self.files.iter().all(|file| file.hash.is_some())
    }

    /// Fills in names, and checks everything that the rest relies on.
    fn complete(&mut self) -> Result<(), String> {
        let count = self.files.len();
        if count == 0 && self.kaggle.is_none() {
            return Err("it has no files".to_owned());
        }
        for file in &mut self.files {
            file.complete()?;
            let is_placed = file.unpack.is_some() || file.place.is_some();
            if count > 1 && !is_placed {
                return Err(format!(
                    "{} needs `unpack` or `place`, as one of several files",
                    file.name
                ));
            }
        }
        let kaggle = self.kaggle.as_deref().unwrap_or("owner/name");
        match kaggle.split('/').collect::<Vec<_>>()[..] {
            [owner, name] if is_file_name(owner) && is_file_name(name) => Ok(()),
            _ => Err(format!("`kaggle` is OWNER/NAME, not {kaggle:?}")),
        }
    }
}

/// The size of a published file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Bytes.
    pub bytes: u64,
    /// Whether all digits are published.
    pub is_exact: bool,
}

impl AssetFile {
    /// Its size, if it is published.
    pub fn size(&self) -> Option<Size> {
        let exact = self.bytes.map(|bytes| Size {
            bytes,
            is_exact: true,
        });
        let rounded = self.mib.map(|mib| Size {
            bytes: (mib * f64::from(1 << 20)) as u64,
            is_exact: false,
        });
        exact.or(rounded)
    }

    fn complete(&mut self) -> Result<(), String> {
        let Some(first) = self.urls.first() else {
            return Err("a file has no address".to_owned());
        };
        if self.name.is_empty() {
            let path = first.split(['?', '#']).next().unwrap_or(first);
            self.name = path.rsplit('/').next().unwrap_or_default().to_owned();
        }
        if !is_file_name(&self.name) {
            return Err(format!(
                "{:?} cannot be the name of a file; give it a `name`",
                self.name
            ));
        }
        let is_http = |url: &String| {
            let rest = url.strip_prefix("https://").or(url.strip_prefix("http://"));
            rest.is_some_and(|rest| rest.split('/').nth(1).is_some_and(|path| !path.is_empty()))
        };
        if let Some(url) = self.urls.iter().find(|url| !is_http(url)) {
            return Err(format!(
                "{url:?} is not an address of a file (https:// or http://)"
            ));
        }
        match &self.place {
            Some(place) if !is_plain_path(Path::new(place)) => {
                Err(format!("{place:?} is not a path in the directory of the asset"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a name is safe as that of a file in the cache: no separators, not hidden, and of usual characters.
fn is_file_name(name: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+@=% ()".contains(&byte);
    (1..=200).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(is_usual)
}

fn is_plain_path(path: &Path) -> bool {
    let mut components = path.components();
    !path.as_os_str().is_empty() && components.all(|part| matches!(part, Component::Normal(_)))
}

/// The assets by name.
#[derive(Clone, Debug)]
pub struct Catalog(BTreeMap<String, Asset>);

impl Catalog {
    /// The built-in table with the user's, whose entries come first.
    ///
    /// # Errors
    /// If the user's table cannot be read or is invalid.
    pub fn load(variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, FetchError> {
        let mut assets = parse(BUILT_IN, "built-in table")?;
        if let Some(path) = user_directory(variable).map(|directory| directory.join(USER_TABLE)) {
            assets.extend(read_table(&path)?);
        }
        Ok(Self(assets))
    }

    /// The asset of this name.
    ///
    /// # Errors
    /// With the nearest name, if there is none.
    pub fn find(&self, name: &str) -> Result<&Asset, FetchError> {
        let unknown = || UnknownName::new("asset", name, self.0.keys().map(String::as_str));
        Ok(self.0.get(name).ok_or_else(unknown)?)
    }

    /// The asset of this name and kind, if there is one.
    pub fn get(&self, name: &str, kind: AssetKind) -> Option<&Asset> {
        self.0.get(name).filter(|asset| asset.kind == kind)
    }

    /// The weights that were published as the file at `path`: by its name, and by its checksum where one is published.
    pub fn weights_at(&self, path: &Path) -> Option<&Asset> {
        let name = path.file_name()?.to_str()?;
        let is_it = |file: &AssetFile| file.name == name && verify_file(file, path).is_ok();
        let mut weights = self.0.values().filter(|asset| asset.kind == AssetKind::Weights);
        weights.find(|asset| asset.files.iter().any(is_it))
    }

    /// All assets, by kind and name.
    pub fn iter(&self) -> impl Iterator<Item = &Asset> {
        let mut assets: Vec<&Asset> = self.0.values().collect();
        assets.sort_by_key(|asset| asset.kind);
        assets.into_iter()
    }
}

fn read_table(path: &PathBuf) -> Result<BTreeMap<String, Asset>, FetchError> {
    use std::io::Read;
    let mut text = String::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(MAX_TABLE_BYTES).read_to_string(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(FetchError::Table {
            origin: path.display().to_string(),
            message: format!("{error}; check the file"),
        }),
        Ok(_) => parse(&text, &path.display().to_string()),
    }
}

fn parse(text: &str, origin: &str) -> Result<BTreeMap<String, Asset>, FetchError> {
    let invalid = |message: String| FetchError::Table {
        origin: origin.to_owned(),
        message,
    };
    let mut assets: BTreeMap<String, Asset> =
        toml::from_str(text).map_err(|error| invalid(error.to_string().trim_end().to_owned()))?;
    for (name, asset) in &mut assets {
        if !is_file_name(name) {
            return Err(invalid(format!("{name:?} cannot be the name of an asset")));
        }
        if asset.about.is_empty() {
            return Err(invalid(format!("[{name}]: `about` is empty; say what it is")));
        }
        asset.name.clone_from(name);
        asset
            .complete()
            .map_err(|problem| invalid(format!("[{name}]: {problem}")))?;
    }
    Ok(assets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn built_in() -> Catalog {
        Catalog::load(&|_| None).unwrap()
    }

    #[test]
    fn name_with_digits_of_sha256_has_them_as_checksum() {
        let weights = built_in();
        let published = weights
            .iter()
            .flat_map(|asset| &asset.files)
            .filter(|file| file.name.ends_with(".pth"));
        let mut count = 0;
        for file in published {
            let digits = file.name.trim_end_matches(".pth").rsplit('-').next().unwrap();
            assert_eq!(
                file.hash.as_ref().unwrap().to_string(),
                format!("sha256:{digits}"),
                "{}",
                file.name
            );
            count += 1;
        }
        assert!(count > 20, "{count}");
    }

    #[test]
    fn asset_without_checksum_is_marked() {
        let catalog = built_in();
        let unverifiable: Vec<&str> = catalog
            .iter()
            .filter(|asset| !asset.is_verifiable())
            .map(|asset| asset.name.as_str())
            .collect();
        assert_eq!(unverifiable, ["mobilenet_v2-keras", "resnet50-timm-hub"]);
    }

    #[test]
    fn unknown_name_suggests_the_nearest() {
        let error = built_in().find("resnet_101").unwrap_err().to_string();
        assert!(error.contains("nearest: \"resnet101\""), "{error}");
    }

    #[test]
    fn user_table_adds_and_replaces() {
        let home = tempfile::tempdir().unwrap();
        let table = home.path().join("cutline/assets.toml");
        fs::create_dir(table.parent().unwrap()).unwrap();
        let head = "kind = \"dataset\"\nabout = \"a\"\nlicense = \"own\"\norigin = \"us\"\n";
        let load = |text: &str| {
            fs::write(&table, text).unwrap();
            Catalog::load(&|name| (name == "XDG_CONFIG_HOME").then(|| home.path().into()))
        };
        let catalog = load(&format!(
            "[flickr8k]\n{head}files = [{{ urls = [\"http://nas/f8k.tar.gz?x=1\"], unpack = \"tar.gz\" }}]\n"
        ))
        .unwrap();
        let asset = catalog.find("flickr8k").unwrap();
        assert_eq!(
            (asset.license.as_str(), asset.files[0].name.as_str()),
            ("own", "f8k.tar.gz")
        );
        for (wrong, expected) in [
            ("[a]\nkind = 1\n", "kind"),
            (&*format!("[a]\n{head}files = []\n"), "no files"),
            (
                &*format!("[\"../a\"]\n{head}files = [{{ urls = [\"http://h/f\"] }}]\n"),
                "../a",
            ),
            (
                &*format!("[a]\n{head}files = [{{ urls = [\"ftp://h/f\"] }}]\n"),
                "ftp://h/f",
            ),
            (
                &*format!("[a]\n{head}files = [{{ urls = [\"http://h/\"] }}]\n"),
                "name",
            ),
            (
                &*format!("[a]\n{head}files = [{{ urls = [\"http://h/f\"], place = \"../f\" }}]\n"),
                "../f",
            ),
            (
                &*format!("[a]\n{head}files = [{{ urls = [\"http://h/f\"], hash = \"crc:1\" }}]\n"),
                "crc:1",
            ),
        ] {
            let error = load(wrong).unwrap_err().to_string();
            assert!(
                error.contains(expected) && error.contains("assets.toml"),
                "{error}"
            );
        }
    }
}
