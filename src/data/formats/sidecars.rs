//! A text beside each image, one caption a line, as tools that train image generators save captions, and as
//! `cutline caption --write` does.

use super::columns::Columns;
use super::{Format, Reader, extension_of, json, text_file};
use crate::data::error::DatasetError;
use crate::data::image::SourceCaption;
use crate::data::image_files::{image_files, is_image_name, walk};
use crate::data::index::CaptionIndex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};

/// Its "file" is the directory.
pub(super) const READER: Reader = Reader {
    format: Format::Sidecars,
    files: "a .txt beside each image",
    is_named: |_| false,
    recognizes: |directory, _| directory.is_dir() && pairs(directory).is_ok_and(|pairs| !pairs.is_empty()),
    read,
    has_several_files: false,
};

const EXTENSIONS: [&str; 4] = ["txt", "TXT", "caption", "json"];
/// Directories of texts beside the directory of the images.
const DIRECTORIES: [&str; 5] = ["captions", "texts", "text", "txt", "labels"];

fn read(directory: &Path, index: &mut CaptionIndex) -> Result<(), DatasetError> {
    let root = fs::canonicalize(directory).map_err(DatasetError::reading(directory))?;
    for (image, text) in pairs(&root)? {
        let key = image
            .strip_prefix(&root)
            .unwrap_or(&image)
            .to_string_lossy()
            .into_owned();
        index.image(&key);
        for caption in captions(&text, index)? {
            index.caption(&key, SourceCaption::new(caption));
        }
    }
    Ok(())
}

/// Adds the captions of the texts in a directory and below, by their path without extension, as images may be elsewhere. If
/// there are images too, only their texts count.
pub(in crate::data) fn read_texts(directory: &Path, index: &mut CaptionIndex) -> Result<(), DatasetError> {
    let key = |path: &Path| {
        let path = path.strip_prefix(directory).unwrap_or(path).with_extension("");
        let bare = if is_image_name(&path) {
            path.with_extension("")
        } else {
            path
        };
        bare.to_string_lossy().into_owned()
    };
    let images: BTreeSet<String> = image_files(directory)?.iter().map(|image| key(image)).collect();
    let rank = |path: &Path| EXTENSIONS.iter().position(|known| *known == extension_of(path));
    let mut texts = BTreeMap::new();
    walk(directory, &|path| rank(path).is_some(), &mut |path, _| {
        let found = texts.entry(key(&path)).or_insert_with(|| path.clone());
        if rank(&path) < rank(found) {
            *found = path;
        }
    })?;
    texts.retain(|key, _| images.is_empty() || images.contains(key));
    for (key, text) in texts {
        let captions = captions(&text, index)?;
        index.image(&key);
        captions
            .into_iter()
            .for_each(|caption| index.caption(&key, SourceCaption::new(caption)));
    }
    Ok(())
}

/// The lines of a text, or the captions of an object.
fn captions(file: &Path, index: &CaptionIndex) -> Result<Vec<String>, DatasetError> {
    let text = text_file::text(file)?;
    if !json::has_extension(file) {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        return Ok(lines.map(str::to_owned).collect());
    }
    Ok(object_captions(&text, index).unwrap_or_default())
}

fn object_captions(text: &str, index: &CaptionIndex) -> Option<Vec<String>> {
    let Value::Object(object) = serde_json::from_str(text).ok()? else {
        return None;
    };
    // The text is of its image, whatever name it has inside.
    let keys: Vec<&str> = iter::once("image")
        .chain(object.keys().map(String::as_str))
        .collect();
    let columns = Columns::named(&keys, &index.columns)?;
    let values = columns
        .captions
        .iter()
        .filter_map(|&column| object.values().nth(column - 1));
    Some(values.flat_map(json::texts).collect())
}

/// The images below a directory that have a text.
fn pairs(directory: &Path) -> Result<Vec<(PathBuf, PathBuf)>, DatasetError> {
    let images = image_files(directory)?.into_iter();
    let pairs = images.filter_map(|image| {
        let text = places(directory, &image).find(|text| text.is_file())?;
        Some((image, text))
    });
    Ok(pairs.collect())
}

/// Where the text of an image may be: `x.txt` or `x.jpg.txt`, beside `x.jpg` or in `captions/` beside a directory of images.
fn places<'a>(root: &'a Path, image: &'a Path) -> impl Iterator<Item = PathBuf> + 'a {
    let directories = image
        .ancestors()
        .skip(1)
        .take_while(move |directory| *directory != root);
    let beside = directories.flat_map(move |images| {
        let below = image.strip_prefix(images).unwrap_or(image);
        let texts = DIRECTORIES.map(|name| images.with_file_name(name)).into_iter();
        texts
            .filter(|texts| texts.is_dir())
            .map(move |texts| texts.join(below))
    });
    let below_root = image.strip_prefix(root).unwrap_or(image);
    let within = DIRECTORIES
        .into_iter()
        .map(move |name| root.join(name).join(below_root));
    iter::once(image.to_owned())
        .chain(beside)
        .chain(within)
        .flat_map(|place| {
            EXTENSIONS.into_iter().flat_map(move |extension| {
                let mut longer = place.clone().into_os_string();
                longer.push(format!(".{extension}"));
                [place.with_extension(extension), longer.into()]
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_in_all_places() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        for image in [
            "1.jpg",
            "2.jpg",
            "3.png",
            "images/4.jpg",
            "images/deep/8.jpg",
            "5.jpg",
            "6.jpg",
            "7.jpg",
        ] {
            write(image, b"");
        }
        let object = br#"{"image":"elsewhere/5.jpg","caption":"a dog","log_probability":-3.5,"alternatives":[],"references":["x"]}"#;
        write("1.txt", b"a dog\r\n\n a cat \n");
        write("2.caption", b"a dog\n");
        write("captions/9.txt", b"of another");
        write("10.jpg", b"");
        write("labels/10.txt", b"a dog");
        write("9.jfif", b"");
        write("9.TXT", b"a dog");
        write("3.png.txt", b"a dog");
        write("captions/4.txt", b"a dog\n");
        write("captions/deep/8.txt", b"a dog\n");
        write("5.json", object);
        write("6.txt", b"a caf\xe9 in a ch\xe2teau");
        write("7.json", b"{\"width\": 5}");
        let mut index = CaptionIndex::default();
        assert!((READER.recognizes)(directory.path(), &index.files));
        read(directory.path(), &mut index).unwrap();
        let dog = vec!["a dog".to_owned()];
        let expected = [
            ("1.jpg", vec!["a dog".to_owned(), "a cat".to_owned()]),
            ("10.jpg", dog.clone()),
            ("2.jpg", dog.clone()),
            ("3.png", dog.clone()),
            ("5.jpg", dog.clone()),
            ("6.jpg", vec!["a café in a château".to_owned()]),
            ("7.jpg", Vec::new()),
            ("9.jfif", dog.clone()),
            ("images/4.jpg", dog.clone()),
            ("images/deep/8.jpg", dog),
        ];
        assert_eq!(
            index.captions(),
            expected.map(|(image, captions)| (image.to_owned(), captions))
        );
    }
}
