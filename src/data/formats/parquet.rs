//! Parquet tables, such as the `metadata.parquet` of Hugging Face's imagefolder; with the feature `parquet`.

use super::json;
use crate::data::error::DatasetError;
use crate::data::index::CaptionIndex;
use crate::files::ConfinedPath;
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Reads every row as an object with the columns' names as keys.
///
/// # Errors
/// If the file cannot be read or has no row with an image and a caption.
pub(super) fn read(file: &Path, index: &mut CaptionIndex) -> Result<(), DatasetError> {
    let opened = ConfinedPath::from(file)
        .open()
        .map_err(DatasetError::reading(file))?;
    // The crate has panicked at damaged files.
    let rows = catch_unwind(AssertUnwindSafe(|| read_rows(opened, index)));
    let invalid = || "not a valid Parquet file".to_owned();
    let first_problem = match rows {
        Ok(Ok(first_problem)) => first_problem,
        Ok(Err(error)) => Some(format!("{}: {error}", invalid())),
        Err(_) => Some(invalid()),
    };
    match first_problem {
        Some(first_problem) if !index.has_captions() => Err(DatasetError::NoUsableLine {
            file: file.to_owned(),
            first_problem,
        }),
        _ => Ok(()),
    }
}

/// Takes all rows; returns the first problem.
fn read_rows(file: File, index: &mut CaptionIndex) -> Result<Option<String>, ParquetError> {
    let reader = SerializedFileReader::new(file)?;
    let mut first_problem = None;
    for row in reader.get_row_iter(None)? {
        if let Err(problem) = json::take_record(&row?.to_json_value(), index) {
            first_problem.get_or_insert(problem);
        }
    }
    Ok(first_problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::parquet::data_type::{ByteArray, ByteArrayType};
    use ::parquet::file::writer::SerializedFileWriter;
    use ::parquet::schema::parser::parse_message_type;
    use std::sync::Arc;

    const SCHEMA: &str = "message table { required binary file_name (UTF8); required binary text (UTF8); }";

    fn table(columns: [[&str; 2]; 2]) -> Vec<u8> {
        let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        for values in columns {
            let mut column = group.next_column().unwrap().unwrap();
            let values = values.map(ByteArray::from);
            column
                .typed::<ByteArrayType>()
                .write_batch(&values, None, None)
                .unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
        writer.into_inner().unwrap()
    }

    fn captions(bytes: &[u8]) -> Result<Vec<(String, Vec<String>)>, DatasetError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("metadata.parquet");
        std::fs::write(&file, bytes).unwrap();
        let mut index = CaptionIndex::default();
        read(&file, &mut index)?;
        Ok(index.captions())
    }

    #[test]
    fn parquet_files_in_data_are_read_with_the_splits_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        };
        for (shard, [one, other]) in [
            ("train-00000-of-00002", ["a", "b"]),
            ("train-00001-of-00002", ["c", "d"]),
            ("test-00000-of-00001", ["e", "f"]),
        ] {
            let names = [format!("{one}.jpg"), format!("{other}.jpg")];
            names.iter().for_each(|name| write(name, b""));
            let names = [names[0].as_str(), names[1].as_str()];
            write(
                &format!("data/{shard}.parquet"),
                &table([names, ["a dog", "a cat"]]),
            );
        }
        let read = crate::data::DataSource::new(folder.path()).read().unwrap();
        let splits: Vec<_> = read
            .images
            .iter()
            .map(|image| image.split.unwrap().to_string())
            .collect();
        assert_eq!(splits.join(" "), "train train train train test test");
    }

    #[test]
    fn rows_are_read_and_damaged_files_rejected() {
        let table = table([["a.jpg", "b.jpg"], ["a dog", "a cat"]]);
        let expected = [("a.jpg", "a dog"), ("b.jpg", "a cat")];
        assert_eq!(
            captions(&table).unwrap(),
            expected.map(|(image, caption)| (image.to_owned(), vec![caption.to_owned()]))
        );
        for length in 0..table.len() {
            assert!(captions(&table[..length]).is_err(), "{length}");
        }
        for position in 0..table.len() {
            let mut damaged = table.clone();
            damaged[position] ^= 0x55;
            let _ = captions(&damaged);
        }
    }
}
