//! Features that another program made: a file with an array for each image, a matrix with a row for each image, or a folder
//! with a file for each image.

use super::store::MAX_ROW_NUMBERS;
use crate::files::ConfinedPath;
use crate::vision::weights::{WeightFile, WeightsError, WeightsErrorKind};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Longer lists of names are not read.
const MAX_NAMES_BYTES: u64 = 1 << 30;
/// The files of a folder, by extension.
const EXTENSIONS: [&str; 4] = ["npy", "npz", "safetensors", "h5"];
/// The names of an image's features in a file with other arrays too, such as boxes.
const ARRAY_NAMES: [&str; 3] = ["feat", "features", "x"];

/// Features of images by the names that another program gave them.
#[derive(Debug)]
pub struct FeatureFile {
    path: PathBuf,
    names: Vec<String>,
    arrays: Arrays,
    hash: String,
}

#[derive(Debug)]
enum Arrays {
    /// An array for each image, with its name.
    Named(WeightFile),
    /// A row of this array for each image.
    Rows { file: WeightFile, array: String },
    /// A file for each image.
    Files(Vec<PathBuf>),
}

/// The regions and channels of an image's features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureShape {
    /// 1 for a pooled vector.
    pub regions: usize,
    /// Numbers of a region.
    pub channels: usize,
}

/// Why features cannot be read, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("features {path:?}: {kind}")]
#[expect(missing_docs, reason = "the message describes the fields")]
pub struct FeatureFileError {
    pub path: PathBuf,
    pub kind: FeatureFileErrorKind,
}

/// See [`FeatureFileError`].
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum FeatureFileErrorKind {
    #[error("cannot be read ({0}): check the path and its permissions")]
    Unreadable(io::Error),
    #[error(
        "not a file of arrays: give .safetensors, .npz, .npy or .h5, or a folder of such files, one for each image"
    )]
    NotArrays,
    #[error("{0}")]
    File(WeightsErrorKind),
    #[error(
        "no file of features in this folder: each image has one, named after it, with the extension .npy, .npz, .safetensors or .h5"
    )]
    EmptyFolder,
    #[error(
        "this is one array without the images' names: write them to {}, one on each line in the order of the rows, or name that file with --feature-names", .0.display()
    )]
    NoNames(PathBuf),
    #[error("the names in {}: {why}", .file.display())]
    Names { file: PathBuf, why: String },
    #[error("--feature-names is for a file of one array, whose rows have no names: leave it out")]
    NamedAlready,
    #[error("image {name:?}: {why}")]
    Image { name: String, why: String },
}

type Result<T> = std::result::Result<T, FeatureFileError>;

impl FeatureFileErrorKind {
    fn at(self, path: &Path) -> FeatureFileError {
        FeatureFileError {
            path: path.to_owned(),
            kind: self,
        }
    }

    fn of_image(name: &str, why: impl Into<String>) -> Self {
        Self::Image {
            name: name.to_owned(),
            why: why.into(),
        }
    }
}

fn not_read(error: WeightsError) -> FeatureFileError {
    let kind = match error.kind {
        WeightsErrorKind::Unreadable(error) => FeatureFileErrorKind::Unreadable(error),
        WeightsErrorKind::NotWeights(_) | WeightsErrorKind::NotAStateDict(_) | WeightsErrorKind::NotAFile => {
            FeatureFileErrorKind::NotArrays
        }
        kind => FeatureFileErrorKind::File(kind),
    };
    kind.at(&error.path)
}

impl FeatureFile {
    /// Opens a file or folder. `names` is the list of images for a file of one array; by default the `.txt` or `.json` of
    /// the same name beside it. A list in JSON has an array of strings or numbers, another list has one name on each line.
    ///
    /// # Errors
    /// If the file is not of a supported format or damaged, or its rows have no names.
    pub fn open(path: &Path, names: Option<&Path>) -> Result<Self> {
        match (path.is_dir(), names) {
            (true, None) => Self::folder(path),
            (true, Some(_)) => Err(FeatureFileErrorKind::NamedAlready.at(path)),
            (false, names) => Self::file(path, names),
        }
    }

    fn folder(path: &Path) -> Result<Self> {
        let unreadable = |error| FeatureFileErrorKind::Unreadable(error).at(path);
        let mut files: BTreeMap<String, (PathBuf, u64)> = BTreeMap::new();
        for entry in fs::read_dir(path).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            let extension = file.extension().and_then(|extension| extension.to_str());
            if !extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) || !file.is_file() {
                continue;
            }
            let Some(name) = file.file_stem().and_then(|stem| stem.to_str()) else {
                continue;
            };
            let (name, len) = (name.to_owned(), fs::metadata(&file).map_err(unreadable)?.len());
            if let Some((other, _)) = files.insert(name.clone(), (file.clone(), len)) {
                let why = format!("both {other:?} and {file:?} have its features; remove one");
                return Err(FeatureFileErrorKind::of_image(&name, why).at(path));
            }
        }
        if files.is_empty() {
            return Err(FeatureFileErrorKind::EmptyFolder.at(path));
        }
        let mut hasher = blake3::Hasher::new();
        for (file, len) in files.values() {
            let name = file.file_name().unwrap_or_default().as_encoded_bytes();
            hasher.update(&(name.len() as u64).to_le_bytes()).update(name);
            hasher.update(&len.to_le_bytes());
        }
        let (names, files): (Vec<String>, Vec<(PathBuf, u64)>) = files.into_iter().unzip();
        Ok(Self {
            path: path.to_owned(),
            names,
            arrays: Arrays::Files(files.into_iter().map(|(file, _)| file).collect()),
            hash: hasher.finalize().to_hex().to_string(),
        })
    }

    fn file(path: &Path, names: Option<&Path>) -> Result<Self> {
        let file = WeightFile::open_arrays(path).map_err(not_read)?;
        let is_unnamed = file.contains("");
        if names.is_none() && !is_unnamed {
            return Ok(Self {
                path: path.to_owned(),
                names: file.names().map(str::to_owned).collect(),
                hash: file.hash(),
                arrays: Arrays::Named(file),
            });
        }
        let array = only_array(&file).ok_or_else(|| FeatureFileErrorKind::NamedAlready.at(path))?;
        let beside = ["txt", "json"].map(|extension| path.with_extension(extension));
        let list = names.or_else(|| beside.iter().map(PathBuf::as_path).find(|list| list.is_file()));
        let list = list.ok_or_else(|| FeatureFileErrorKind::NoNames(beside[0].clone()).at(path))?;
        let rows = file.shape(&array).and_then(|shape| shape.first()).copied();
        let names = read_names(list, rows.unwrap_or(0)).map_err(|why| {
            let file = list.to_owned();
            FeatureFileErrorKind::Names { file, why }.at(path)
        })?;
        // Other names are other features.
        let mut hasher = blake3::Hasher::new();
        hasher.update(file.hash().as_bytes());
        for name in &names {
            hasher
                .update(&(name.len() as u64).to_le_bytes())
                .update(name.as_bytes());
        }
        Ok(Self {
            path: path.to_owned(),
            names,
            hash: hasher.finalize().to_hex().to_string(),
            arrays: Arrays::Rows { file, array },
        })
    }

    /// The path of the file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The images' names; an image has its index in them.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// BLAKE3 of the file and of a list of names beside it, or of the names and lengths of a folder's files.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The shape of an image's features: `[channels]`, `[regions, channels]` or `[height, width, channels]` in the file,
    /// where dimensions of 1 may come first.
    ///
    /// # Errors
    /// If they have another shape, or the image's file in a folder cannot be read.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn shape(&self, image: usize) -> Result<FeatureShape> {
        match &self.arrays {
            Arrays::Named(file) => self.shape_of(image, file.shape(&self.names[image])),
            Arrays::Rows { file, array } => {
                self.shape_of(image, file.shape(array).and_then(|shape| shape.get(1..)))
            }
            Arrays::Files(files) => {
                let (file, array) = self.open_image(image, &files[image])?;
                self.shape_of(image, file.shape(&array))
            }
        }
    }

    /// An image's features `[regions, channels]`, and their shape.
    ///
    /// # Errors
    /// Those of [`shape`](Self::shape), and if a value is not a finite floating-point number.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn read(&self, image: usize) -> Result<(FeatureShape, Vec<f32>)> {
        let name = &self.names[image];
        let (shape, values) = match &self.arrays {
            Arrays::Named(file) => {
                let shape = file.shape(name).unwrap_or_default();
                (self.shape_of(image, Some(shape))?, file.get(name, shape))
            }
            Arrays::Rows { file, array } => (self.shape(image)?, file.get_row(array, image)),
            Arrays::Files(files) => {
                let (file, array) = self.open_image(image, &files[image])?;
                let shape = file.shape(&array).unwrap_or_default();
                (self.shape_of(image, Some(shape))?, file.get(&array, shape))
            }
        };
        let values = values.map_err(|error| {
            let why = error.kind.to_string();
            FeatureFileErrorKind::of_image(name, why).at(&error.path)
        })?;
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => {
                let why =
                    format!("it has the feature {value}; leave the image out, or make its features again");
                Err(FeatureFileErrorKind::of_image(name, why).at(&self.path))
            }
            None => Ok((shape, values)),
        }
    }

    fn shape_of(&self, image: usize, shape: Option<&[usize]>) -> Result<FeatureShape> {
        FeatureShape::of(shape.unwrap_or_default())
            .map_err(|why| FeatureFileErrorKind::of_image(&self.names[image], why).at(&self.path))
    }

    /// The file of an image in a folder, and the name of the array with its features.
    fn open_image(&self, image: usize, file: &Path) -> Result<(WeightFile, String)> {
        let file = WeightFile::open_arrays(file).map_err(not_read)?;
        let known = || ARRAY_NAMES.into_iter().find(|name| file.contains(name));
        let array = only_array(&file).or_else(|| known().map(str::to_owned));
        let array = array.ok_or_else(|| {
            let why =
                "its file has several arrays: name that of the features \"feat\", \"features\" or \"x\"";
            FeatureFileErrorKind::of_image(&self.names[image], why).at(file.path())
        })?;
        Ok((file, array))
    }
}

impl FeatureShape {
    fn of(shape: &[usize]) -> std::result::Result<Self, String> {
        let ones = shape.iter().take_while(|&&side| side == 1).count();
        // A vector of one channel keeps its dimension.
        let squeezed = &shape[ones.min(shape.len().saturating_sub(1))..];
        let (regions, channels) = match *squeezed {
            [channels] => (Some(1), channels),
            [regions, channels] => (Some(regions), channels),
            [first, height, width] if height == width && first > height => {
                return Err(format!(
                    "shape {shape:?} has the channels first: save features as [height, width, channels], \
                     numpy.moveaxis(x, 0, -1)"
                ));
            }
            [height, width, channels] => (height.checked_mul(width), channels),
            _ => (None, 0),
        };
        let numbers = regions.and_then(|regions| regions.checked_mul(channels));
        match (regions, numbers) {
            (Some(regions), Some(1..=MAX_ROW_NUMBERS)) => Ok(Self { regions, channels }),
            _ => Err(format!(
                "shape {shape:?} is not that of features: save them as [channels], [regions, channels] or \
                 [height, width, channels]"
            )),
        }
    }
}

/// The name of the array of a file with a single one.
fn only_array(file: &WeightFile) -> Option<String> {
    let mut names = file.names();
    let first = names.next().map(str::to_owned);
    first.filter(|_| names.next().is_none())
}

/// The names of a list, for this number of rows.
fn read_names(list: &Path, rows: usize) -> std::result::Result<Vec<String>, String> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum ListedName {
        Text(String),
        Number(u64),
    }
    let text = ConfinedPath::from(list).read_to_string(MAX_NAMES_BYTES);
    let text =
        text.map_err(|error| format!("cannot be read ({error}): write one name on each line, in UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}');
    let names: Vec<String> = if text.trim_start().starts_with('[') {
        let names: Vec<ListedName> = serde_json::from_str(text)
            .map_err(|error| format!("not a list of names ({error}): write an array of strings"))?;
        let text = |name| match name {
            ListedName::Text(text) => text,
            ListedName::Number(number) => number.to_string(),
        };
        names.into_iter().map(text).collect()
    } else {
        text.lines().map(|line| line.trim().to_owned()).collect()
    };
    if names.len() != rows {
        return Err(format!(
            "{} names for {rows} rows: give each row one name, in the same order",
            names.len()
        ));
    }
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("{:?} is there twice: give each image one row", pair[0])),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    const IMAGES: [&str; 3] = ["a.jpg", "b.jpg", "c.jpg"];

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn features(image: usize) -> Vec<f32> {
        (0..6).map(|n| (image * 10 + n) as f32).collect()
    }

    fn safetensors(arrays: &[(&str, Vec<usize>, Vec<f32>)]) -> Vec<u8> {
        let data: Vec<Vec<u8>> = arrays.iter().map(|array| bytes(&array.2)).collect();
        let views = arrays.iter().zip(&data);
        let views = views.map(|((name, shape, _), data)| {
            (*name, TensorView::new(Dtype::F32, shape.clone(), data).unwrap())
        });
        safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap()
    }

    fn npy(descr: &str, shape: &[usize], values: &[u8]) -> Vec<u8> {
        let sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sides}), }}\n");
        let len = u16::try_from(header.len()).unwrap().to_le_bytes();
        [b"\x93NUMPY\x01\x00", &len[..], header.as_bytes(), values].concat()
    }

    /// A folder with the same features in every form, which needs no Python.
    fn forms(directory: &Path) -> Vec<PathBuf> {
        let write = |name: &str, content: Vec<u8>| {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            path
        };
        let all: Vec<f32> = (0..IMAGES.len()).flat_map(features).collect();
        let named: Vec<_> = (0..IMAGES.len())
            .map(|image| (IMAGES[image], vec![1, 2, 3], features(image)))
            .collect();
        let mut archive = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, shape, values) in &named {
            let options = zip::write::SimpleFileOptions::default();
            archive.start_file(format!("{name}.npy"), options).unwrap();
            io::Write::write_all(&mut archive, &npy("<f4", shape, &bytes(values))).unwrap();
        }
        for (image, name) in IMAGES.iter().enumerate() {
            write(
                &format!("npy/{name}.npy"),
                npy("<f4", &[2, 3], &bytes(&features(image))),
            );
            let with_boxes = [
                ("boxes", vec![2, 4], vec![0.5; 8]),
                ("feat", vec![2, 3], features(image)),
            ];
            write(&format!("folder/{name}.safetensors"), safetensors(&with_boxes));
        }
        write("matrix.json", serde_json::to_vec(&IMAGES).unwrap());
        vec![
            write("all.safetensors", safetensors(&named)),
            write("all.npz", archive.finish().unwrap().into_inner()),
            write("matrix.npy", npy("<f4", &[3, 2, 3], &bytes(&all))),
            directory.join("npy"),
            directory.join("folder"),
        ]
    }

    #[test]
    fn every_form_has_the_same_features() {
        let directory = tempfile::tempdir().unwrap();
        for path in forms(directory.path()) {
            let file = FeatureFile::open(&path, None).unwrap();
            assert_eq!(file.names(), IMAGES, "{path:?}");
            for image in 0..IMAGES.len() {
                let (shape, values) = file.read(image).unwrap();
                assert_eq!((shape.regions, shape.channels), (2, 3), "{path:?}");
                assert_eq!(values, features(image), "{path:?}");
                assert_eq!(file.shape(image).unwrap(), shape);
            }
        }
    }

    #[test]
    fn names_of_rows_are_part_of_the_hash() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.npy");
        fs::write(&path, npy("<f8", &[2, 1], &[0; 16])).unwrap();
        let error = FeatureFile::open(&path, None).unwrap_err().to_string();
        assert!(
            error.contains("x.txt") && error.contains("--feature-names"),
            "{error}"
        );
        let list = directory.path().join("list");
        let open = |names: &str| {
            fs::write(&list, names).unwrap();
            FeatureFile::open(&path, Some(&list))
        };
        let one = open("a.jpg\r\nb.jpg\r\n").unwrap();
        assert_eq!(one.names(), ["a.jpg", "b.jpg"]);
        assert_ne!(one.hash(), open("b.jpg\na.jpg").unwrap().hash());
        assert_eq!(open("[1, \"b\"]").unwrap().names(), ["1", "b"]);
        for (names, message) in [
            ("a", "1 names for 2 rows"),
            ("a\na", "\"a\" is there twice"),
            ("[1, {}]", "not a list of names"),
        ] {
            let error = open(names).unwrap_err().to_string();
            assert!(error.contains(message) && error.contains("list"), "{error}");
        }
    }

    #[test]
    fn shapes_of_features_are_squeezed_and_others_rejected() {
        let of = |shape: &[usize]| FeatureShape::of(shape).map(|shape| (shape.regions, shape.channels));
        for (shape, expected) in [
            (&[512][..], (1, 512)),
            (&[1, 1, 512], (1, 512)),
            (&[36, 2048], (36, 2048)),
            (&[1, 7, 7, 512], (49, 512)),
            (&[1, 1], (1, 1)),
        ] {
            assert_eq!(of(shape), Ok(expected), "{shape:?}");
        }
        for shape in [
            &[][..],
            &[0],
            &[0, 5],
            &[2, 7, 7, 512],
            &[usize::MAX, 2],
            &[usize::MAX, usize::MAX, 2],
            &[1 << 15, 1 << 14],
        ] {
            assert!(
                of(shape).unwrap_err().contains("is not that of features"),
                "{shape:?}"
            );
        }
        assert!(of(&[512, 7, 7]).unwrap_err().contains("channels first"));
    }

    #[test]
    fn numbers_that_are_not_finite_are_rejected_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.safetensors");
        let arrays = [
            ("a", vec![2], vec![1.0, 2.0]),
            ("b", vec![2], vec![1.0, f32::NAN]),
        ];
        fs::write(&path, safetensors(&arrays)).unwrap();
        let file = FeatureFile::open(&path, None).unwrap();
        assert!(file.read(0).is_ok());
        let error = file.read(1).unwrap_err().to_string();
        assert!(error.contains("\"b\"") && error.contains("NaN"), "{error}");
    }

    #[test]
    fn integers_and_other_files_are_rejected() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.npz");
        fs::write(&path, "image,feature\n").unwrap();
        let error = FeatureFile::open(&path, None).unwrap_err().to_string();
        assert!(error.contains("not a file of arrays"), "{error}");
        assert!(FeatureFile::open(&directory.path().join("none"), None).is_err());
        let folder = directory.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let error = FeatureFile::open(&folder, None).unwrap_err().to_string();
        assert!(error.contains("no file of features"), "{error}");
        fs::write(folder.join("a.npy"), npy("<i8", &[2], &[0; 16])).unwrap();
        let file = FeatureFile::open(&folder, None).unwrap();
        let error = file.read(0).unwrap_err().to_string();
        assert!(error.contains("\"a\"") && error.contains("f32"), "{error}");
    }

    proptest! {
        #[test]
        fn damaged_files_never_panic(
            form in 0usize..3,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = forms(directory.path()).swap_remove(form);
            let mut bytes = fs::read(&path).unwrap();
            for (index, byte) in changes {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
            fs::write(&path, bytes).unwrap();
            if let Ok(file) = FeatureFile::open(&path, None) {
                for image in 0..file.names().len() {
                    let _ = file.shape(image);
                    let _ = file.read(image);
                }
            }
        }
    }
}
