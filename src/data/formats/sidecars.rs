//! A text beside each image, one caption a line, as tools that train image generators save captions, and as
//! `cutline caption --write` does.

use super::columns::Columns;
use super::{Format, Reader, json, text_file};
use crate::data::error::DatasetError;
use crate::data::image::SourceCaption;
use crate::data::image_files::image_files;
use crate::data::index::CaptionIndex;
use serde_json::Value;
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

const EXTENSIONS: [&str; 3] = ["txt", "caption", "json"];
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
    iter::once(image.to_owned()).chain(beside).flat_map(|place| {
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
            ("2.jpg", dog.clone()),
            ("3.png", dog.clone()),
            ("5.jpg", dog.clone()),
            ("6.jpg", vec!["a café in a château".to_owned()]),
            ("7.jpg", Vec::new()),
            ("images/4.jpg", dog.clone()),
            ("images/deep/8.jpg", dog),
        ];
        assert_eq!(
            index.captions(),
            expected.map(|(image, captions)| (image.to_owned(), captions))
        );
    }
}
