use std::fs;
use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

const RESOURCES: [(&str, &str); 4] = [
    ("function/english.words", "a\nthe\nof\n"),
    (
        "nonbreaking/english.prefixes",
        "# Titles\nmr\nno #NUMERIC_ONLY#\n",
    ),
    (
        "synonym/english.synsets",
        "dog\n1 2\nhound\n2\nmouse\n3\nrodent\n3\n",
    ),
    ("synonym/english.exceptions", "mouse\nmice\n"),
];
const PARAPHRASES: &str = "0.5\nin front of\nbefore\n0.5\na group of\nseveral\n";

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// A folder with the entries of a jar as files.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in RESOURCES {
        write(&folder, name, text.as_bytes());
    }
    write(&folder, "data/paraphrase-en.gz", &gzip(PARAPHRASES.as_bytes()));
    folder
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn score(folder: &TempDir, hypothesis: &str, references: &[&str]) -> Result<f64, MeteorError> {
    let tokens = |caption: &str| caption.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let references: Vec<_> = references.iter().map(|reference| tokens(reference)).collect();
    let example = Example {
        hypothesis: &tokens(hypothesis),
        references: &references,
    };
    let counts = counts(folder.path(), &[example])?;
    Ok(counts[0].score())
}

#[test]
fn word_that_two_matchers_align_is_lost_without_neighbors() {
    let folder = folder();
    let synonym = score(&folder, "mice", &["rodent"]).unwrap();
    assert!((synonym - 0.8).abs() < 1e-12, "{synonym}");
    // `dogs` and `dog` are a match of stems and one of synonyms, so neither is certain, and half a word counts nothing.
    assert_eq!(score(&folder, "dogs", &["dog"]).unwrap(), 0.0);
    assert!(score(&folder, "the dogs", &["the dog"]).unwrap() > 0.2);
}

#[test]
fn captions_without_words_or_references_score_zero() {
    let folder = folder();
    for (hypothesis, references) in [
        ("", &["a dog"][..]),
        ("a dog", &[""]),
        ("", &[""]),
        ("a dog", &[]),
    ] {
        assert_eq!(score(&folder, hypothesis, references).unwrap(), 0.0);
    }
}

#[test]
fn first_of_the_best_references_counts() {
    let folder = folder();
    let alone = score(&folder, "the dog sits", &["the dog sits"]).unwrap();
    assert_eq!(alone, 1.0);
    let many = score(&folder, "the dog sits", &["a cat", "the dog sits", "the dog"]).unwrap();
    assert_eq!(many, alone);
}

#[test]
fn jar_is_read_as_the_folder_of_its_entries() {
    let folder = folder();
    let caption = (
        "several mice sit before mr. x",
        ["a group of rodents sits in front of mr. x"],
    );
    let expected = score(&folder, caption.0, &caption.1).unwrap();
    let mut jar = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in RESOURCES {
        jar.start_file(name, SimpleFileOptions::default()).unwrap();
        jar.write_all(text.as_bytes()).unwrap();
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    write(&folder, "meteor-1.5.jar", jar.finish().unwrap().get_ref());
    assert!(expected > 0.3);
    assert_eq!(score(&folder, caption.0, &caption.1).unwrap(), expected);
}

#[test]
fn error_names_the_missing_or_damaged_file() {
    let message = |folder: &TempDir| score(folder, "a dog", &["a cat"]).unwrap_err().to_string();
    let empty = TempDir::new().unwrap();
    assert!(
        message(&empty).contains("has no meteor-1.5.jar"),
        "{}",
        message(&empty)
    );

    let no_table = folder();
    fs::remove_file(no_table.path().join("data/paraphrase-en.gz")).unwrap();
    assert!(message(&no_table).contains("has no data/paraphrase-en.gz"));

    let cut = folder();
    let table = gzip(PARAPHRASES.repeat(50).as_bytes());
    write(&cut, "data/paraphrase-en.gz", &table[..table.len() / 2]);
    assert!(
        message(&cut).contains("paraphrase-en.gz is damaged: line "),
        "{}",
        message(&cut)
    );

    let odd = folder();
    write(&odd, "data/paraphrase-en.gz", &gzip(b"0.5\na dog\n"));
    assert!(
        message(&odd).contains("line 3: a phrase is missing"),
        "{}",
        message(&odd)
    );

    let words = folder();
    write(&words, "synonym/english.synsets", b"dog\nhound\n");
    assert!(message(&words).contains("has no numbers below \"dog\""));

    let not_zip = folder();
    write(&not_zip, "meteor-1.5.jar", b"not a jar");
    assert!(
        message(&not_zip).contains("meteor-1.5.jar is damaged"),
        "{}",
        message(&not_zip)
    );
}

#[test]
fn caption_of_more_than_1000_words_is_refused() {
    let long = ["a dog"; 501].join(" ");
    let error = score(&folder(), &long, &["a dog"]).unwrap_err();
    assert!(error.to_string().contains("a caption has 1002 words"), "{error}");
    let longest = ["a dog"; 500].join(" ");
    assert!(score(&folder(), &longest, &["the dog of a hound a"]).unwrap() > 0.0);
}

#[test]
fn normalizer_splits_hyphens_contractions_and_final_dots() {
    let folder = folder();
    let mut files = DataFiles::open(folder.path()).unwrap();
    let normalizer = files.normalizer().unwrap();
    for (caption, words) in [
        ("A well-dressed man", "a well dressed man"),
        ("a-b-c x", "a b-c x"),
        ("It's 1990's boys' o'clock", "it 's 1990 's boys ' o 'clock"),
        ("U.S. p.m. end.", "us pm end ."),
        ("no. 7 and no. x", "no. 7 and no. x"),
        ("No. Seven", "no . seven"),
        ("wait... what..", "wait ... what .."),
        ("1,000 a,b ,c", "1,000 a , b , c"),
        ("“so” \u{a0} ‘yes’", "\" so \" ' yes '"),
    ] {
        assert_eq!(normalizer.words(caption).join(" "), words, "{caption}");
    }
}

/// Captions of words that match in several ways, with arbitrary text between them.
fn caption() -> impl Strategy<Value = String> {
    let words =
        "a the of dog dogs hound mice mouse rodent in front before group several . ... - ' it's U.S. ||| ";
    let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    let word = prop_oneof![8 => proptest::sample::select(words), 1 => any::<String>()];
    proptest::collection::vec(word, 0..14).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn score_is_between_zero_and_one(
        hypothesis in caption(),
        references in proptest::collection::vec(caption(), 0..4),
    ) {
        let references: Vec<&str> = references.iter().map(String::as_str).collect();
        let score = score(&folder(), &hypothesis, &references).unwrap();
        prop_assert!((0.0..=1.0).contains(&score), "{}", score);
    }

    #[test]
    fn same_caption_scores_one(hypothesis in "[a-z]{1,6}( [a-z]{1,6}){0,8}") {
        prop_assert_eq!(score(&folder(), &hypothesis, &[&hypothesis]).unwrap(), 1.0);
    }

    #[test]
    fn data_files_of_any_bytes_are_read_or_refused(
        name in proptest::sample::select(vec![
            "function/english.words",
            "nonbreaking/english.prefixes",
            "synonym/english.synsets",
            "synonym/english.exceptions",
            "data/paraphrase-en.gz",
            "meteor-1.5.jar",
        ]),
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        text in "[a-c0-9 \n]{0,60}",
        is_text: bool,
    ) {
        let folder = folder();
        let bytes = match (is_text, name) {
            (false, _) => bytes,
            (true, "data/paraphrase-en.gz") => gzip(text.as_bytes()),
            (true, _) => text.into_bytes(),
        };
        write(&folder, name, &bytes);
        if let Ok(score) = score(&folder, "a b c", &["b a 1"]) {
            prop_assert!((0.0..=1.0).contains(&score), "{}", score);
        }
    }
}
