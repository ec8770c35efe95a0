//! Tests of reading every format: valid, truncated and invalid files.

use super::super::*;
use super::{TOKENS, directory, locations};
use tempfile::TempDir;

fn read(directory: &TempDir) -> Result<RawDataset, DatasetError> {
    DataSource::new(directory.path()).read()
}

/// Key, split and raw captions of every image.
fn summary(reading: &RawDataset) -> Vec<(&str, Option<Split>, Vec<&str>)> {
    fn of(image: &SourceImage) -> (&str, Option<Split>, Vec<&str>) {
        assert!(image.path.is_absolute());
        let captions = image.captions.iter().map(|caption| caption.raw.as_str());
        (image.key.as_str(), image.split, captions.collect())
    }
    reading.images.iter().map(of).collect()
}

#[test]
fn flickr8k_reads_the_token_file_and_the_split_lists_beside_it() {
    let directory = directory(
        &[
            ("Flickr8k_text/Flickr8k.token.txt", TOKENS),
            ("Flickr8k_text/Flickr8k.lemma.token.txt", "a.jpg#0\tdog"),
            ("Flickr8k_text/Flickr_8k.trainImages.txt", "a.jpg\r\n"),
            ("Flickr8k_text/Flickr_8k.devImages.txt", "b\n"),
        ],
        &["Flicker8k_Dataset/a.jpg", "Flicker8k_Dataset/b.jpg"],
    );
    let reading = read(&directory).unwrap();
    assert_eq!(reading.format, Format::Flickr8k);
    assert_eq!(
        summary(&reading),
        [
            ("a.jpg", Some(Split::Train), vec!["A dog .", "A brown dog ."]),
            ("b.jpg", Some(Split::Dev), vec!["A cat ."]),
        ]
    );
    assert_eq!(
        locations(&reading.problems, ProblemKind::CaptionWithoutImage),
        ["2258277193.jpg.1"]
    );
    assert_eq!(reading.files.len(), 3);
}

#[test]
fn truncated_token_file_is_read_up_to_its_last_line() {
    let images = ["a.jpg", "b.jpg"];
    let truncated = directory(&[("x.token.txt", "a.jpg#0\tA dog\nno tab\nb.jpg#0")], &images);
    let problems = read(&truncated).unwrap().problems;
    let [malformed] = problems.of_kind(ProblemKind::MalformedLine) else {
        panic!("{problems:?}")
    };
    assert!(malformed.location.ends_with("x.token.txt, line 2"), "{malformed}");
    assert_eq!(problems.count(ProblemKind::TruncatedLine), 1);
    assert_eq!(problems.count(ProblemKind::ImageWithoutCaption), 1);

    let perhaps = directory(&[("x.token.txt", "a.jpg#0\tA dog\nb.jpg#0\tA ca")], &images);
    let reading = read(&perhaps).unwrap();
    assert_eq!(reading.images.len(), 2);
    assert_eq!(reading.problems.count(ProblemKind::UnendedLine), 1);
}

#[test]
fn kaggle_csv_is_read_and_bad_lines_are_listed() {
    let directory = directory(
        &[(
            "captions.txt",
            "image,caption\r\na.jpg,\"A dog , \"\"Rex\"\" .\"\r\na.jpg\r\nb.jpg,\"open\r\nb.jpg,A cat\r\n",
        )],
        &["Images/a.jpg", "Images/b.jpg"],
    );
    let reading = read(&directory).unwrap();
    assert_eq!(reading.format, Format::Kaggle);
    assert_eq!(
        summary(&reading),
        [
            ("a.jpg", None, vec!["A dog , \"Rex\" ."]),
            ("b.jpg", None, vec!["A cat"])
        ]
    );
    let [fields, quotation] = reading.problems.of_kind(ProblemKind::MalformedLine) else {
        panic!("{:?}", reading.problems)
    };
    assert!(
        fields.to_string().contains("line 3: 1 fields instead of 2"),
        "{fields}"
    );
    assert!(
        quotation
            .to_string()
            .contains("line 4: a quotation mark is not closed"),
        "{quotation}"
    );
}

#[test]
fn karpathy_json_has_tokens_and_splits() {
    let json = r#"{"dataset": "coco", "images": [
        {"filepath": "val2014", "filename": "b.jpg", "split": "restval", "imgid": 0,
         "sentences": [{"raw": "A cat.", "tokens": ["a", "cat"], "sentid": 1}]},
        {"filename": "a.jpg", "split": "val", "sentences": [{"raw": "A dog."}]},
        {"filename": "c.jpg", "split": "test", "sentences": []}]}"#;
    let directory = directory(
        &[("dataset_coco.json", json)],
        &["images/val2014/b.jpg", "images/a.jpg", "images/c.jpg"],
    );
    let reading = read(&directory).unwrap();
    assert_eq!(reading.format, Format::Karpathy);
    assert_eq!(
        summary(&reading),
        [
            ("a.jpg", Some(Split::Dev), vec!["A dog."]),
            ("c.jpg", Some(Split::Test), vec![]),
            ("val2014/b.jpg", Some(Split::Train), vec!["A cat."]),
        ]
    );
    assert_eq!(reading.images[0].captions[0].tokens, None);
    assert_eq!(
        reading.images[2].captions[0].tokens.as_deref(),
        Some(["a".to_owned(), "cat".to_owned()].as_slice())
    );
}

#[test]
fn coco_reads_all_captions_files_with_the_splits_of_their_names() {
    let file = |name: &str| {
        format!(
            r#"{{"info": {{}}, "images": [{{"id": 7, "file_name": "{name}", "width": 640}}],
             "annotations": [{{"image_id": 7, "id": 1, "caption": "A dog."}}, {{"image_id": 8, "caption": "Lost."}}]}}"#
        )
    };
    let directory = directory(
        &[
            ("annotations/captions_train2014.json", &file("a.jpg")),
            ("annotations/captions_val2014.json", &file("b.jpg")),
            ("annotations/instances_val2014.json", &file("c.jpg")),
        ],
        &["train2014/a.jpg", "val2014/b.jpg", "val2014/d.jpg"],
    );
    let reading = read(&directory).unwrap();
    assert_eq!(reading.format, Format::Coco);
    assert_eq!(
        summary(&reading),
        [
            ("a.jpg", Some(Split::Train), vec!["A dog."]),
            ("b.jpg", Some(Split::Dev), vec!["A dog."])
        ]
    );
    let lost = reading.problems.of_kind(ProblemKind::CaptionWithoutImage);
    assert!(
        lost.iter()
            .all(|problem| problem.location.ends_with("image id 8")),
        "{lost:?}"
    );
    assert_eq!(lost.len(), 2);
    assert_eq!(reading.problems.count(ProblemKind::ImageWithoutCaption), 1);
}

#[test]
fn folder_reads_csv_and_json_lines() {
    let images = ["dogs/a.jpg", "b.jpg"];
    let expected = [
        ("b.jpg", None, vec!["A cat"]),
        ("dogs/a.jpg", Some(Split::Dev), vec!["A dog", "A puppy"]),
    ];
    let csv = "\u{feff}caption,image,split\nA dog,dogs/a.jpg,val\nA puppy,dogs/a.jpg,\nA cat,b.jpg,\nA cat,b.jpg,who\n";
    let reading = read(&directory(&[("captions.csv", csv)], &images)).unwrap();
    assert_eq!(summary(&reading), expected);
    let [unknown] = reading.problems.of_kind(ProblemKind::MalformedLine) else {
        panic!("{:?}", reading.problems)
    };
    assert!(unknown.detail.contains("unknown split"), "{unknown}");

    let jsonl = concat!(
        r#"{"image": "dogs/a.jpg", "captions": ["A dog", "A puppy"], "split": "dev", "by": "me"}"#,
        "\n",
        r#"{"image": "b.jpg"}"#,
        "\n",
        r#"{"image": "b.jpg", "caption": "A cat"}"#,
        "\n",
        r#"{"image": "b.jpg", "capt"#
    );
    let reading = read(&directory(&[("captions.jsonl", jsonl)], &images)).unwrap();
    assert_eq!(reading.format, Format::Folder);
    assert_eq!(summary(&reading), expected);
    assert_eq!(reading.problems.count(ProblemKind::MalformedLine), 1);
    assert_eq!(reading.problems.count(ProblemKind::TruncatedLine), 1);
}

const KARPATHY: &str =
    r#"{"images": [{"filename": "a.jpg", "split": "train", "sentences": [{"raw": "A \"annotations\"."}]}]}"#;

#[test]
fn first_of_several_formats_is_read_and_the_others_are_reported() {
    let directory = directory(
        &[
            ("captions.txt", "image,caption\na.jpg,A dog\n"),
            ("captions.csv", "image,caption\na.jpg,A dog\n"),
            ("x.token.txt", TOKENS),
            ("dataset_mine.json", KARPATHY),
        ],
        &["a.jpg", "b.jpg"],
    );
    let reading = read(&directory).unwrap();
    assert_eq!(reading.format, Format::Karpathy);
    assert_eq!(
        reading.also_found,
        [Format::Flickr8k, Format::Folder, Format::Kaggle]
    );
    for format in [Format::Karpathy, Format::Flickr8k, Format::Folder, Format::Kaggle] {
        let forced = DataSource {
            format: Some(format),
            ..DataSource::new(directory.path())
        }
        .read()
        .unwrap();
        assert_eq!((forced.format, forced.also_found.len()), (format, 0));
    }
}

#[test]
fn named_files_are_recognized_by_content() {
    let directory = directory(
        &[
            ("texts/karpathy.json", KARPATHY),
            (
                "texts/coco.json",
                r#"{"images": [{"id": "x", "file_name": "a.jpg"}], "annotations": [{"image_id": "x", "caption": "A dog"}]}"#,
            ),
            ("texts/tokens", TOKENS),
            ("texts/kaggle", "image,caption\na.jpg,A dog\n"),
            (
                "texts/lines.jsonl",
                "{\"image\": \"a.jpg\", \"caption\": \"A dog\"}\n",
            ),
            ("lists/my_train.txt", "a.jpg\n"),
            ("lists/mine.txt", "a.jpg\n"),
        ],
        &["pictures/a.jpg"],
    );
    let path = |name: &str| directory.path().join(name);
    for (file, format) in [
        ("texts/karpathy.json", Format::Karpathy),
        ("texts/coco.json", Format::Coco),
        ("texts/tokens", Format::Flickr8k),
        ("texts/kaggle", Format::Kaggle),
        ("texts/lines.jsonl", Format::Folder),
    ] {
        let by_place = DataSource {
            images: Some(path("pictures")),
            splits: vec![path("lists/my_train.txt")],
            ..DataSource::new(path(file))
        };
        let by_captions = DataSource {
            path: directory.path().to_owned(),
            captions: Some(path(file)),
            ..by_place.clone()
        };
        for source in [by_place, by_captions] {
            let reading = source.read().unwrap();
            assert_eq!(reading.format, format);
            assert_eq!(reading.images[0].split, Some(Split::Train));
        }
    }
    let unnamed = DataSource {
        images: Some(path("pictures")),
        splits: vec![path("lists/mine.txt")],
        ..DataSource::new(path("texts/kaggle"))
    };
    assert!(matches!(unnamed.read(), Err(DatasetError::UnnamedSplit(_))));
    assert!(matches!(
        DataSource::new(path("lists/mine.txt")).read(),
        Err(DatasetError::NotRecognized { .. })
    ));
}

#[test]
fn errors_of_unreadable_sources_name_the_next_step() {
    let invalid = KARPATHY.replace("[{\"raw\"", "[\"raw\"");
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a [&'a str]);
    let cases: [Case<'_>; 9] = [
        (
            &[("dataset.json", &KARPATHY[..60])],
            "a.jpg",
            &["dataset.json ends in the middle (line 1, column 60)"],
        ),
        (
            &[("dataset.json", &invalid)],
            "a.jpg",
            &["line 1, column", "mend the file"],
        ),
        (
            &[("captions.txt", "A \u{1b}[2Jdog\n")],
            "a.jpg",
            &["cannot tell the columns", "--image-column"],
        ),
        (
            &[("captions.txt", "image,caption\n")],
            "a.jpg",
            &["no usable caption"],
        ),
        (&[("x.token.txt", "a.jpg A dog\n")], "a.jpg", &["line 1: no tab"]),
        (
            &[("x.token.txt", TOKENS)],
            "else/other.jpg",
            &["none of 3 image names", "--images"],
        ),
        (&[], "a.jpg", &["*.token.txt", "--captions"]),
        (
            &[("a.token.txt", TOKENS), ("b.token.txt", TOKENS)],
            "a.jpg",
            &["choose one with --captions"],
        ),
        (&[("x.token.txt", "")], "a.jpg", &["it is empty"]),
    ];
    for (files, image, expected) in cases {
        let error = read(&directory(files, &[image])).unwrap_err().to_string();
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }
    let absent = DataSource::new("/no/such/place").read().unwrap_err().to_string();
    assert!(absent.contains("/no/such/place does not exist"), "{absent}");
    assert!(matches!(
        DataSource::new("scenes").read(),
        Err(DatasetError::ScenesAreDrawn)
    ));
}

#[test]
fn format_names_and_aliases_parse() {
    for &format in <Format as strum::VariantArray>::VARIANTS {
        assert_eq!(format.to_string().parse(), Ok(format));
        assert_eq!(serde_json::to_value(format).unwrap(), format.to_string());
    }
    assert_eq!("Flickr30k".parse(), Ok(Format::Flickr8k));
    assert!("coca".parse::<Format>().unwrap_err().to_string().contains("coco"));
}
