//! Finding and reading the captions, splits and images of a source.

use super::error::DatasetError;
use super::formats::columns::ColumnNames;
use super::formats::other_kinds::OtherFiles;
use super::formats::sidecars;
use super::formats::split_lists::SplitList;
use super::formats::{Format, Reader, paths_in, stem_of};
use super::image::SourceImage;
use super::image_files::ImageFiles;
use super::index::{CaptionIndex, FoundImages};
use super::problems::Problems;
use super::report::SplitsFrom;
use super::split::{self, Split};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::slice;

/// A source of captioned images, as named on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataSource {
    /// A directory, a captions file, or `scenes`.
    pub path: PathBuf,
    /// The format; recognized by default.
    pub format: Option<Format>,
    /// The directory of the images; searched for below `path` by default.
    pub images: Option<PathBuf>,
    /// The captions file; searched for in `path` by default.
    pub captions: Option<PathBuf>,
    /// Split lists; they replace the splits of the source.
    pub splits: Vec<PathBuf>,
    /// Whether the splits of the source count.
    pub splits_from: SplitsFrom,
    /// Names of the columns of a table, or of the keys of objects.
    pub columns: ColumnNames,
}

/// The existing images of a source, sorted by key, with all their captions.
#[derive(Clone, Debug)]
pub struct RawDataset {
    /// The images, including those without captions.
    pub images: Vec<SourceImage>,
    /// The format of the source.
    pub format: Format,
    /// The captions files and split lists that were read.
    pub files: Vec<PathBuf>,
    /// Other formats that the directory also has files of; `--format` chooses one.
    pub also_found: Vec<Format>,
    /// The problems so far.
    pub problems: Problems,
    /// What was guessed, a line each: encodings, columns, other names of images.
    pub notes: Vec<String>,
}

impl RawDataset {
    /// The images of the built-in dataset.
    pub fn drawn(mut images: Vec<SourceImage>) -> Self {
        for image in &mut images {
            if let Ok(path) = fs::canonicalize(&image.path) {
                image.path = path;
            }
        }
        Self {
            images,
            format: Format::Scenes,
            files: Vec::new(),
            also_found: Vec::new(),
            problems: Problems::default(),
            notes: Vec::new(),
        }
    }
}

/// The captions of a file of any format, or of the texts in a directory, by the names of images that they give.
///
/// # Errors
/// If the format is not recognized, or the file has no valid line.
pub fn captions_by_name(
    path: &Path,
    preferred: &'static [&'static str],
) -> Result<BTreeMap<String, Vec<String>>, DatasetError> {
    let mut index = CaptionIndex::default();
    index.columns.preferred_captions = preferred;
    match path.is_dir() {
        true => sidecars::read_texts(path, &mut index)?,
        false => Reader::of_file(path, &index.files)?.read(path, &mut index)?,
    }
    Ok(index.into_captions())
}

/// The captions files, their reader, and the directory that they are found in.
struct CaptionsFiles {
    directory: PathBuf,
    reader: &'static Reader,
    files: Vec<PathBuf>,
    also_found: Vec<Format>,
}

impl DataSource {
    /// A source with default options.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            ..Self::default()
        }
    }

    /// Whether this is the built-in dataset: by its format, or by the path `scenes`.
    pub fn is_scenes(&self) -> bool {
        let by_name = self.format.is_none() && self.path == Path::new(Format::SCENES);
        by_name || self.format == Some(Format::Scenes)
    }

    /// Reads captions and splits, and finds the images.
    ///
    /// # Errors
    /// If the source does not exist, its format is not recognized, a file cannot be read or has no valid line, or not
    /// one image exists. Single invalid lines are listed in [`RawDataset::problems`] instead.
    pub fn read(&self) -> Result<RawDataset, DatasetError> {
        if let Some(images) = self.images.as_ref().filter(|images| !images.is_dir()) {
            return Err(DatasetError::NoSuchImages(images.clone()));
        }
        let mut index = CaptionIndex::of_images(self.image_roots());
        index.columns = self.columns.clone();
        index.splits_from = self.splits_from;
        let CaptionsFiles {
            directory,
            reader,
            files,
            also_found,
        } = self.find_captions(&index.files)?;
        if directory != self.path {
            index.note(format!("captions are read from {}", directory.display()));
            let roots = [roots_in(&directory), self.image_roots()].concat();
            index.files = ImageFiles::below(if self.images.is_some() {
                self.image_roots()
            } else {
                roots
            });
        }
        for file in &files {
            index.directory = split_directory_of(&directory, file);
            reader.read(file, &mut index)?;
            let named = files.iter().filter(|file| split_named(file).is_some());
            if named.count() > 1
                && let Some(split) = split_named(file)
            {
                index.split_the_rest(split);
            }
        }
        index.directory.clear();
        if !index.has_captions() {
            return Err(DatasetError::NoUsableLine {
                file: files[0].clone(),
                first_problem: index
                    .first_problem()
                    .unwrap_or_else(|| "it names no image with a caption".to_owned()),
            });
        }
        let splits = self.read_splits(reader.format, &files, &mut index)?;
        index.split_by_directories();
        let FoundImages {
            images,
            problems,
            notes,
        } = index.find_images()?;
        Ok(RawDataset {
            images,
            format: reader.format,
            files: [files, splits].concat(),
            also_found,
            problems,
            notes,
        })
    }

    /// The format in which [`read`](Self::read) reads the source.
    ///
    /// # Errors
    /// If the source does not exist or its format is not recognized.
    pub fn recognize(&self) -> Result<Format, DatasetError> {
        if self.is_scenes() {
            return Ok(Format::Scenes);
        }
        let images = ImageFiles::below(self.image_roots());
        Ok(self.find_captions(&images)?.reader.format)
    }

    fn directory(&self) -> &Path {
        if self.path.is_dir() {
            &self.path
        } else {
            self.path.parent().unwrap_or(Path::new(""))
        }
    }

    fn find_captions(&self, images: &ImageFiles) -> Result<CaptionsFiles, DatasetError> {
        if self.is_scenes() {
            return Err(DatasetError::ScenesAreDrawn);
        }
        if !self.path.exists() {
            return Err(DatasetError::NoSuchSource(self.path.clone()));
        }
        let named = self.path.is_file().then_some(&self.path);
        if let Some(file) = self.captions.as_ref().or(named) {
            fs::metadata(file).map_err(DatasetError::reading(file))?;
            let reader = match self.format {
                Some(format) => Reader::of(Some(format))
                    .next()
                    .ok_or(DatasetError::ScenesAreDrawn)?,
                None => Reader::of_file(file, images)?,
            };
            return Ok(CaptionsFiles {
                directory: self.path.clone(),
                reader,
                files: vec![file.clone()],
                also_found: Vec::new(),
            });
        }
        let looked_for: Vec<_> = Reader::of(self.format).map(|reader| reader.files).collect();
        let found = find_captions_below(&self.path, self.format, images, LEVELS)?;
        found.ok_or_else(|| DatasetError::NotRecognized {
            path: self.path.clone(),
            looked_for: looked_for.join(", "),
            others: OtherFiles::below(slice::from_ref(&self.path)),
        })
    }

    /// Reads the split lists of the command line, or else those that are found if the captions have no splits; returns the
    /// files.
    fn read_splits(
        &self,
        format: Format,
        captions: &[PathBuf],
        index: &mut CaptionIndex,
    ) -> Result<Vec<PathBuf>, DatasetError> {
        if self.splits_from == SplitsFrom::Drawn {
            return Ok(Vec::new());
        }
        let lists: Vec<SplitList> = if !self.splits.is_empty() {
            index.forget_splits();
            self.splits.iter().cloned().map(SplitList::given).collect()
        } else {
            let mut lists = self.split_lists_beside(captions)?;
            // The text of one image may have the name of a list.
            let is_text =
                |list: &SplitList| format == Format::Sidecars && index.files.have(&stem_of(&list.file));
            let captions: Vec<PathBuf> = captions
                .iter()
                .filter_map(|file| fs::canonicalize(file).ok())
                .collect();
            lists.retain(|list| !captions.contains(&list.file) && !is_text(list));
            let is_beside_tokens = |list: &SplitList| format == Format::Flickr8k && list.is_for_one_split();
            let (lists, others): (Vec<_>, Vec<_>) = lists
                .into_iter()
                .partition(|list| is_beside_tokens(list) || list.is_of(index));
            let is_wanted = lists.is_empty() && !index.has_splits();
            for list in others.iter().filter(|_| is_wanted) {
                index.note(format!(
                    "{} is not read: none of its names is that of an image with captions",
                    list.file.display()
                ));
            }
            lists
        };
        if self.splits.is_empty() && index.has_splits() {
            for list in lists {
                index.note(format!(
                    "{} is not read, as the captions have splits; --splits takes it",
                    list.file.display()
                ));
            }
            return Ok(Vec::new());
        }
        lists.iter().try_for_each(|list| list.read(index))?;
        Ok(lists.into_iter().map(|list| list.file).collect())
    }

    /// The split lists beside the captions or in the source, and in the directories there.
    fn split_lists_beside(&self, captions: &[PathBuf]) -> Result<Vec<SplitList>, DatasetError> {
        let beside = captions.first().and_then(|file| match file.is_dir() {
            true => Some(file.as_path()),
            false => file.parent(),
        });
        let places = beside.into_iter().chain([self.directory()]);
        let places = places.map(|place| match place == Path::new("") {
            true => Path::new("."),
            false => place,
        });
        let mut directories = BTreeSet::new();
        for place in places {
            let place = fs::canonicalize(place).map_err(DatasetError::reading(place))?;
            directories.extend(subdirectories(&place)?);
            directories.insert(place);
        }
        let mut lists = Vec::new();
        for directory in directories {
            lists.extend(paths_in(&directory)?.into_iter().filter_map(SplitList::named));
        }
        Ok(lists)
    }

    /// The directories of images, most likely first.
    fn image_roots(&self) -> Vec<PathBuf> {
        match &self.images {
            Some(directory) => vec![directory.clone()],
            None => roots_in(self.directory()),
        }
    }
}

/// Directories below a source that are looked through for captions.
const LEVELS: usize = 2;

/// The captions files of a directory, or else of the only directory in it that has some.
fn find_captions_below(
    directory: &Path,
    format: Option<Format>,
    images: &ImageFiles,
    levels: usize,
) -> Result<Option<CaptionsFiles>, DatasetError> {
    if let Some(found) = find_captions_in(directory, format, images)? {
        return Ok(Some(found));
    }
    if levels == 0 {
        return Ok(None);
    }
    let mut below = Vec::new();
    for subdirectory in subdirectories(directory)? {
        below.extend(find_captions_below(&subdirectory, format, images, levels - 1)?);
    }
    match below.len() {
        0 | 1 => Ok(below.pop()),
        _ => Err(DatasetError::SeveralSources {
            path: directory.to_owned(),
            directories: below.into_iter().map(|found| found.directory).collect(),
        }),
    }
}

/// The captions files of a directory: by their names, also in directories of splits such as `train`, or by their content.
fn find_captions_in(
    directory: &Path,
    format: Option<Format>,
    images: &ImageFiles,
) -> Result<Option<CaptionsFiles>, DatasetError> {
    let mut found = Vec::new();
    for reader in Reader::of(format) {
        let files = reader.find(directory, images)?;
        if !files.is_empty() {
            found.push((reader, files));
        }
    }
    let mut splits = subdirectories(directory)?;
    splits.retain(|path| !split_directory_of(directory, &path.join("file")).is_empty());
    let in_splits =
        |find: &dyn Fn(&Path) -> Result<Vec<PathBuf>, DatasetError>| -> Result<Vec<PathBuf>, DatasetError> {
            let files = splits
                .iter()
                .map(|split| find(split))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(files.concat())
        };
    if found.is_empty() {
        // Hugging Face's imagefolder: `train/metadata.jsonl`, `test/metadata.jsonl`.
        let is_table = |reader: &&Reader| matches!(reader.format, Format::Folder | Format::Kaggle);
        for reader in Reader::of(format).filter(is_table) {
            let files = in_splits(&|split| reader.find(split, images))?;
            if !files.is_empty() {
                found.push((reader, files));
            }
        }
    }
    if found.is_empty() {
        for reader in Reader::of(format) {
            let mut files = reader.find_by_content(directory, images)?;
            if files.is_empty() && reader.format != Format::Sidecars {
                files = in_splits(&|split| reader.find_by_content(split, images))?;
            }
            if !files.is_empty() {
                found.push((reader, files));
                break;
            }
        }
    }
    let mut found = found.into_iter();
    let Some((reader, files)) = found.next() else {
        return Ok(None);
    };
    let splits: BTreeSet<Option<Split>> = files.iter().map(|file| split_named(file)).collect();
    let has_a_split_each = splits.len() == files.len() && !splits.contains(&None);
    let is_beside_another = |file: &PathBuf| {
        files
            .iter()
            .any(|other| other != file && other.parent() == file.parent())
    };
    let are_shards = files
        .iter()
        .all(|file| file.extension().is_some_and(|extension| extension == "parquet"));
    if files.iter().any(is_beside_another) && !reader.has_several_files && !has_a_split_each && !are_shards {
        return Err(DatasetError::Ambiguous {
            format: reader.format,
            files,
        });
    }
    Ok(Some(CaptionsFiles {
        directory: directory.to_owned(),
        reader,
        files,
        also_found: found.map(|(reader, _)| reader.format).collect(),
    }))
}

/// The directories in a directory, sorted, except hidden ones.
fn subdirectories(directory: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let mut directories = Vec::new();
    for entry in fs::read_dir(directory).map_err(DatasetError::reading(directory))? {
        let entry = entry.map_err(DatasetError::reading(directory))?;
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !is_hidden && entry.path().is_dir() {
            directories.push(entry.path());
        }
    }
    directories.sort_unstable();
    Ok(directories)
}

/// `train/` for a file in the directory `train` of the source; empty for a file elsewhere.
fn split_directory_of(source: &Path, file: &Path) -> String {
    let directory = file.strip_prefix(source).ok().and_then(Path::parent);
    let name = directory
        .and_then(Path::to_str)
        .filter(|name| name.parse::<Split>().is_ok());
    name.map_or_else(String::new, |name| format!("{name}/"))
}

/// The usual directories of images in a directory, and itself.
fn roots_in(directory: &Path) -> Vec<PathBuf> {
    const USUAL: [&str; 12] = [
        "images",
        "Images",
        "photos",
        "Flicker8k_Dataset",
        "Flickr8k_Dataset",
        "flickr30k_images",
        "flickr30k-images",
        "train2014",
        "val2014",
        "train2017",
        "val2017",
        "",
    ];
    let roots = USUAL.iter().map(|name| directory.join(name));
    roots.filter(|root| root.is_dir()).collect()
}

fn split_named(file: &Path) -> Option<Split> {
    split::named_in(&file.file_name()?.to_string_lossy())
}
