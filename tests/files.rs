//! Captions as people have them: published files, exports of spreadsheets and notebooks, and names that differ slightly.
//!
//! The images are empty files: reading a source finds them and does not decode them.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cutline::data::{DataSource, ProblemKind, RawDataset, Split, SplitsFrom};
use tempfile::TempDir;

const IMAGES: [&str; 4] = ["101_a.jpg", "102_b.jpg", "103_c.jpg", "104_d.jpg"];

fn directory(files: &[(&str, &[u8])], images: &[String]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    files.iter().for_each(|(name, content)| write(name, content));
    images.iter().for_each(|name| write(name, b""));
    directory
}

fn below(folder: &str) -> Vec<String> {
    IMAGES.iter().map(|image| format!("{folder}{image}")).collect()
}

/// One line for each image, with two captions each where `number` is used.
fn rows(row: impl Fn(&str, usize) -> String) -> String {
    IMAGES
        .iter()
        .enumerate()
        .map(|(number, image)| row(image, number))
        .collect()
}

#[track_caller]
fn read(path: &Path) -> RawDataset {
    DataSource::new(path).read().unwrap()
}

fn captions(read: &RawDataset) -> usize {
    read.images.iter().map(|image| image.captions.len()).sum()
}

fn splits(read: &RawDataset) -> BTreeMap<Option<Split>, usize> {
    let mut splits = BTreeMap::new();
    read.images
        .iter()
        .for_each(|image| *splits.entry(image.split).or_default() += 1);
    splits
}

/// A file, its content, and how many captions of the four images it has.
#[test]
fn tables_and_objects_are_read_as_they_are_saved() {
    let split = |number: usize| ["train", "train", "valid", "testing"][number];
    let cases: Vec<(&str, String, usize)> = vec![
        (
            "captions.csv",
            rows(|image, _| format!("{image},A dog , running\n")),
            4,
        ),
        (
            "captions.csv",
            format!("image,captions\n{}", rows(|image, _| format!("{image},A dog\n"))),
            4,
        ),
        (
            "captions.csv",
            format!("file_name,text\n{}", rows(|image, _| format!("{image},A dog\n"))),
            4,
        ),
        (
            "captions.csv",
            format!(
                "Filename ; Caption\r\n{}",
                rows(|image, _| format!("{image};A dog, running\r\n"))
            ),
            4,
        ),
        (
            "captions.csv",
            format!(
                "image,caption\n{}",
                rows(|image, _| format!("{image},\"A dog,\nrunning\"\n"))
            ),
            4,
        ),
        (
            "captions.csv",
            format!(
                "image,caption\n{}",
                rows(|image, _| format!("{image},\"A sign \\\"stop\\\", near\"\n"))
            ),
            4,
        ),
        (
            "captions.csv",
            format!(
                "image,caption\n{}",
                rows(|image, n| format!("{image},{}\n", ["NaN", "A dog", "null", ""][n]))
            ),
            1,
        ),
        ("captions.tsv", rows(|image, _| format!("{image}\tA dog\n")), 4),
        (
            "results.csv",
            format!(
                "image_name| comment_number| comment\n{}",
                rows(|image, _| format!("{image}| 0| A dog\n"))
            ),
            4,
        ),
        (
            "metadata.csv",
            format!(
                "file_name,caption_0,caption_1\n{}",
                rows(|image, _| format!("{image},A dog,A cat\n"))
            ),
            8,
        ),
        (
            "metadata.jsonl",
            rows(|image, n| {
                let caption = ["NaN", "\"A dog\"", "-Infinity", "\"None\""][n];
                format!("{{\"file_name\":\"{image}\",\"text\":{caption}}}\n")
            }),
            1,
        ),
        (
            "metadata.jsonl",
            rows(|image, _| format!("{{\"file_name\":\"{image}\",\"text\":\"A dog\"}}\n")),
            4,
        ),
        (
            "captions.jsonl",
            format!(
                "[{}]",
                rows(|image, n| format!(
                    "{}{{\"img\":\"{image}\",\"caption\":\"A dog\"}}",
                    if n > 0 { "," } else { "" }
                ))
            ),
            4,
        ),
        (
            "captions.json",
            format!(
                "{{{}}}",
                rows(|image, n| format!(
                    "{}\"{image}\":[\"A dog\",\"A cat\"]",
                    if n > 0 { "," } else { "" }
                ))
            ),
            8,
        ),
        (
            "TextCaps_0.1_train.json",
            format!(
                "{{\"data\":[{}]}}",
                rows(|image, n| format!(
                    "{}{{\"image_id\":\"{}\",\"caption_str\":\"A dog\",\"image_path\":\"{image}\"}}",
                    if n > 0 { "," } else { "" },
                    &image[..5]
                ))
            ),
            4,
        ),
        (
            "descriptions.txt",
            rows(|image, _| format!("{} a dog runs\n", &image[..5])),
            4,
        ),
        (
            "captions.txt",
            format!(
                "image,caption\n{}",
                rows(|image, _| format!("{},A dog\n", &image[..5]))
            ),
            4,
        ),
        (
            "captions.csv",
            format!(
                "image,caption\n{}",
                rows(|image, _| format!("data\\photos\\{image},A dog\n"))
            ),
            4,
        ),
        (
            "captions.csv",
            format!(
                "image,caption\n{}",
                rows(|image, _| format!("images/{image},A dog\n"))
            ),
            4,
        ),
        (
            "Flickr8k.token.txt",
            rows(|image, _| format!("{image}#zhm#0\tA dog\n")),
            4,
        ),
        ("captions.txt", rows(|image, _| format!("{image}#0\tA dog\n")), 4),
        (
            "captions.txt",
            rows(|image, _| format!("{image}#enc#0\tA dog\n")),
            4,
        ),
        ("results.token", rows(|image, _| format!("{image}#0  A dog\n")), 4),
        ("captions.txt", rows(|image, _| format!("{image}: A dog\n")), 4),
        (
            "captions.csv",
            format!(
                "[{}]",
                rows(|image, n| {
                    let comma = if n > 0 { "," } else { "" };
                    format!("{comma}{{\"image\": \"{image}\", \"caption\": \"A dog\"}}")
                })
            ),
            4,
        ),
        (
            "captions.csv",
            format!(
                "image,captions\n{}",
                rows(|image, _| format!("{image},A dog|A cat\n"))
            ),
            8,
        ),
        (
            "captions.csv",
            format!(
                "image,captions\n{}",
                rows(|image, _| format!("{image},\"('A dog', 'A cat')\"\n"))
            ),
            8,
        ),
        (
            "captions.csv",
            format!(
                "image,captions\n{}",
                rows(|image, _| format!(
                    "{image},\"[{{\"\"raw\"\": \"\"A dog\"\"}}, {{\"\"raw\"\": \"\"A cat\"\"}}]\"\n"
                ))
            ),
            8,
        ),
        (
            "captions.csv",
            format!(
                "image,caption,split\n{}",
                rows(|image, n| format!("{image},A dog, running, and a cat,{}\n", split(n)))
            ),
            4,
        ),
        (
            "captions.csv",
            format!(
                "caption,image\n{}",
                rows(|image, _| format!("A dog, running,{image}\n"))
            ),
            4,
        ),
        (
            "captions.jsonl",
            rows(|image, _| {
                format!(
                    "{{\"image\": \"{image}\", \"caption\": \"A dog\", \"captions\": [\"A dog\", \"A cat\"]}}\n"
                )
            }),
            8,
        ),
        (
            "any name.csv",
            format!(
                "raw,split,filename\n{}",
                rows(|image, n| format!("\"[\"\"A dog\"\", \"\"A cat\"\"]\",{},{image}\n", split(n)))
            ),
            8,
        ),
    ];
    for (name, content, expected) in cases {
        let source = directory(&[(name, content.as_bytes())], &below("images/"));
        let read = read(source.path());
        assert_eq!(
            (read.images.len(), captions(&read)),
            (4, expected),
            "{name}\n{content}"
        );
        if content.contains("split") {
            let expected = [(Split::Train, 2), (Split::Dev, 1), (Split::Test, 1)];
            assert_eq!(
                splits(&read),
                expected.map(|(split, count)| (Some(split), count)).into()
            );
        }
    }
}

#[test]
fn encodings_are_detected_and_said() {
    let text = format!(
        "image,caption\n{}",
        rows(|image, _| format!("{image},A café in the château\n"))
    );
    let utf16: Vec<u8> = format!("\u{feff}{text}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let latin1: Vec<u8> = text.chars().map(|character| character as u8).collect();
    let marked = format!("\u{feff}{text}").into_bytes();
    let old_mac = text.replace('\n', "\r").into_bytes();
    let big_endian: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (content, note) in [
        (utf16[2..].to_vec(), "UTF-16LE"),
        (big_endian, "UTF-16BE"),
        (utf16, "UTF-16LE"),
        (latin1, "windows-1252"),
        (marked, ""),
        (old_mac, ""),
    ] {
        let source = directory(&[("captions.csv", &content)], &below("images/"));
        let read = read(source.path());
        assert!(
            read.images
                .iter()
                .all(|image| image.captions[0].raw == "A café in the château"),
            "{note}"
        );
        assert_eq!(
            read.notes.iter().any(|line| line.contains(note)),
            !note.is_empty(),
            "{:?}",
            read.notes
        );
    }
}

#[test]
fn images_are_found_where_they_are() {
    let table = format!("image,caption\n{}", rows(|image, _| format!("{image},A dog\n")));
    let capitals: Vec<String> = below("images/")
        .iter()
        .map(|image| image.replace(".jpg", ".JPG"))
        .collect();
    for images in [
        capitals,
        below("images/deep/er/"),
        below("Flickr8k_images/"),
        below("Images/Images/"),
        below(""),
    ] {
        let source = directory(&[("captions.csv", table.as_bytes())], &images);
        assert_eq!(read(source.path()).images.len(), 4, "{images:?}");
    }
}

#[test]
fn image_with_two_possible_files_is_listed() {
    let images = ["images/a/x.jpg", "images/b/x.jpg", "images/y.jpg"].map(str::to_owned);
    let source = directory(
        &[("captions.csv", b"image,caption\nx.jpg,A dog\ny.jpg,A cat\n")],
        &images,
    );
    let read = read(source.path());
    assert_eq!(read.images.len(), 1);
    let missing = read.problems.of_kind(ProblemKind::CaptionWithoutImage);
    assert!(missing[0].detail.contains("2 files"), "{missing:?}");
}

#[test]
fn missing_images_error_names_a_file_that_is_there() {
    let source = directory(
        &[("captions.csv", b"image,caption\n1015.jpg,A dog\n")],
        &["images/1016.jpg".to_owned()],
    );
    let error = DataSource::new(source.path()).read().unwrap_err().to_string();
    assert!(error.contains("1016.jpg"), "{error}");
}

#[test]
fn text_beside_each_image_is_its_captions() {
    let texts: Vec<(String, &[u8])> = IMAGES
        .iter()
        .map(|image| {
            (
                format!("10_dog/{}", image.replace(".jpg", ".txt")),
                &b"A dog\nA cat\n"[..],
            )
        })
        .collect();
    let texts: Vec<(&str, &[u8])> = texts
        .iter()
        .map(|(name, content)| (name.as_str(), *content))
        .collect();
    let source = directory(&texts, &below("10_dog/"));
    let read = read(source.path());
    assert_eq!((read.images.len(), captions(&read)), (4, 8));
}

#[test]
fn splits_come_from_folders_and_their_unknown_names_are_said() {
    let table = b"image,caption\ntrain/a.jpg,A dog\nvalidation/b.jpg,A cat\ntest/c.jpg,A cow\n";
    let images = ["train/a.jpg", "validation/b.jpg", "test/c.jpg"].map(str::to_owned);
    let source = directory(&[("captions.csv", table)], &images);
    let expected = [Split::Train, Split::Dev, Split::Test].map(|split| (Some(split), 1));
    assert_eq!(splits(&read(source.path())), expected.into());

    let numbers = format!(
        "image,caption,split\n{}",
        rows(|image, number| format!("{image},A dog,{number}\n"))
    );
    let source = directory(&[("captions.csv", numbers.as_bytes())], &below("images/"));
    let error = DataSource::new(source.path()).read().unwrap_err().to_string();
    assert!(
        error.contains("split column") && error.contains("train, dev, test"),
        "{error}"
    );
}

#[test]
fn metadata_in_split_folders_is_read_with_their_splits() {
    let line = |image: &str| format!("{{\"file_name\": \"{image}\", \"text\": \"a dog\"}}\n");
    let [train, validation] = [line("101_a.jpg") + &line("102_b.jpg"), line("101_a.jpg")];
    let folder = directory(
        &[
            ("train/metadata.jsonl", train.as_bytes()),
            ("validation/metadata.jsonl", validation.as_bytes()),
        ],
        &["train/101_a.jpg", "train/102_b.jpg", "validation/101_a.jpg"].map(str::to_owned),
    );
    let read = read(folder.path());
    assert_eq!(captions(&read), 3);
    assert_eq!(
        splits(&read),
        [(Some(Split::Train), 2), (Some(Split::Dev), 1)].into()
    );
    assert!(
        read.images
            .iter()
            .any(|image| image.key.starts_with("validation/101_a"))
    );
}

#[test]
fn metadata_tables_in_split_folders_are_read() {
    let table = |image: &str| format!("file_name,text\n{image},a dog\n").into_bytes();
    let folder = directory(
        &[
            ("train/metadata.csv", &table("101_a.jpg")),
            ("test/metadata.csv", &table("101_a.jpg")),
        ],
        &["train/101_a.jpg", "test/101_a.jpg"].map(str::to_owned),
    );
    assert_eq!(
        splits(&read(folder.path())),
        [(Some(Split::Train), 1), (Some(Split::Test), 1)].into()
    );
}

#[test]
fn split_lists_beside_any_captions_are_read() {
    let captions = rows(|image, _| format!("{image},A dog\n"));
    let folder = directory(
        &[
            ("captions.csv", format!("image,caption\n{captions}").as_bytes()),
            ("train.txt", b"101_a.jpg\nimages/102_b.jpg\n"),
            ("val.txt", b"103_c\n"),
            ("test_images.txt", b"104_d.jpg\n"),
            ("training_notes.txt", b"not a list\n"),
        ],
        &below("images/"),
    );
    assert_eq!(
        splits(&read(folder.path())),
        [
            (Some(Split::Train), 2),
            (Some(Split::Dev), 1),
            (Some(Split::Test), 1)
        ]
        .into()
    );
}

#[test]
fn split_lists_elsewhere_and_of_several_splits_are_read() {
    let captions = rows(|image, _| format!("{image},A dog\n"));
    let captions = format!("image,caption\n{captions}");
    let lists: [&[(&str, &str)]; 5] = [
        &[
            (
                "Flickr8k_text/Flickr_8k.trainImages.txt",
                "101_a.jpg\n102_b.jpg\n",
            ),
            ("Flickr8k_text/Flickr_8k.devImages.txt", "103_c.jpg\n"),
            ("Flickr8k_text/Flickr_8k.testImages.txt", "104_d.jpg\n"),
        ],
        &[
            ("splits/train.csv", "image\n101_a.jpg\n102_b.jpg\n"),
            ("splits/val.csv", ",image\n0,103_c.jpg\n"),
            ("splits/test.json", "[\"104_d.jpg\"]"),
        ],
        &[(
            "splits.csv",
            "image,split\n101_a.jpg,train\n102_b.jpg,train\n103_c,val\n104_d,test\n",
        )],
        &[(
            "splits.json",
            r#"{"101_a.jpg": "train", "102_b.jpg": "Training set", "103_c.jpg": "val", "104_d.jpg": "test"}"#,
        )],
        &[(
            "meta/split.json",
            r#"{"train": ["101_a", "102_b"], "validation": ["103_c"], "test": ["104_d"]}"#,
        )],
    ];
    let expected = [
        (Some(Split::Train), 2),
        (Some(Split::Dev), 1),
        (Some(Split::Test), 1),
    ];
    for lists in lists {
        let mut files = vec![("captions.csv", captions.as_bytes())];
        files.extend(lists.iter().map(|(name, content)| (*name, content.as_bytes())));
        let folder = directory(&files, &below("images/"));
        assert_eq!(splits(&read(folder.path())), expected.into(), "{lists:?}");
        let given = DataSource {
            splits: lists.iter().map(|(name, _)| folder.path().join(name)).collect(),
            ..DataSource::new(folder.path())
        };
        assert_eq!(splits(&given.read().unwrap()), expected.into(), "{lists:?}");
    }
}

#[test]
fn split_list_beside_captions_with_splits_is_named() {
    let captions = rows(|image, _| format!("{image},A dog,train\n"));
    let captions = format!("image,caption,split\n{captions}");
    let files = [
        ("captions.csv", captions.as_bytes()),
        ("lists/test.txt", b"104_d.jpg\n"),
        ("lists/dev.txt", b"of other images\n"),
    ];
    let folder = directory(&files, &below("images/"));
    let read = read(folder.path());
    assert_eq!(splits(&read), [(Some(Split::Train), 4)].into());
    let notes: Vec<&String> = read
        .notes
        .iter()
        .filter(|note| note.contains("--splits"))
        .collect();
    assert!(
        matches!(notes[..], [note] if note.contains("test.txt is not read")),
        "{notes:?}"
    );
}

#[test]
fn splits_as_people_write_them_are_understood_and_drawn_splits_keep_all_rows() {
    let names = ["Training set", "train2014", "Validation set", "TEST_SET"];
    let table = |names: [&str; 4]| {
        let rows = rows(|image, number| format!("{image},A dog,{}\n", names[number]));
        let table = format!("image,caption,split\n{rows}");
        directory(&[("captions.csv", table.as_bytes())], &below("images/"))
    };
    let expected = [
        (Some(Split::Train), 2),
        (Some(Split::Dev), 1),
        (Some(Split::Test), 1),
    ];
    assert_eq!(splits(&read(table(names).path())), expected.into());
    let unknown = table(["train", "holdout", "3", "val"]);
    let drawn = DataSource {
        splits_from: SplitsFrom::Drawn,
        ..DataSource::new(unknown.path())
    };
    let drawn = drawn.read().unwrap();
    assert_eq!((splits(&drawn), captions(&drawn)), ([(None, 4)].into(), 4));
    assert!(drawn.problems.is_empty(), "{:?}", drawn.problems);
}

#[test]
fn a_captions_file_for_each_split_is_read() {
    let table = |number: usize| format!("image,caption\n{},A dog\n", IMAGES[number]).into_bytes();
    let folder = directory(
        &[
            ("train.csv", &table(0)),
            ("valid.csv", &table(1)),
            ("test.csv", &table(2)),
        ],
        &below("images/")[..3],
    );
    assert_eq!(
        splits(&read(folder.path())),
        [
            (Some(Split::Train), 1),
            (Some(Split::Dev), 1),
            (Some(Split::Test), 1)
        ]
        .into()
    );
}

#[test]
fn decomposed_file_names_are_found() {
    let folder = directory(
        &[(
            "captions.csv",
            "image,caption\n\u{e9}t\u{e9}.jpg,A dog\n".as_bytes(),
        )],
        &["images/e\u{301}te\u{301}.jpg".to_owned()],
    );
    assert_eq!(captions(&read(folder.path())), 1);
}

#[test]
fn coco_as_unpacked_is_read_with_both_splits() {
    let file = |images: &[&str]| {
        let list = |item: fn(usize, &str) -> String| {
            let items: Vec<String> = images
                .iter()
                .enumerate()
                .map(|(id, image)| item(id, image))
                .collect();
            items.join(",")
        };
        let images = list(|id, image| format!("{{\"id\":{id},\"file_name\":\"{image}\"}}"));
        let annotations = list(|id, _| {
            let caption = if id == 0 { "NaN" } else { "\"A dog\"" };
            format!("{{\"image_id\":{id},\"caption\":{caption}}},{{\"image_id\":{id},\"caption\":\"A cat\"}}")
        });
        format!("{{\"images\":[{images}],\"annotations\":[{annotations}]}}").into_bytes()
    };
    let (train, val) = (file(&IMAGES[..2]), file(&IMAGES[2..]));
    let mut images = below("images/train2017/")[..2].to_vec();
    images.extend_from_slice(&below("images/val2017/")[2..]);
    let source = directory(
        &[
            ("annotations/captions_train2017.json", &train),
            ("annotations/captions_val2017.json", &val),
        ],
        &images,
    );
    let read = read(source.path());
    assert_eq!(
        splits(&read),
        [(Some(Split::Train), 2), (Some(Split::Dev), 2)].into()
    );
    assert_eq!(
        captions(&read),
        8,
        "a missing caption is listed when it is tokenized"
    );
}

/// A file of COCO's format as VizWiz and NoCaps write it: more keys, and a name without `captions`.
fn coco_like(images: &[&str]) -> Vec<u8> {
    let entries = |entry: fn(usize, &str) -> String| {
        let entries: Vec<String> = (0..).zip(images).map(|(id, image)| entry(id, image)).collect();
        entries.join(",")
    };
    let list =
        entries(|id, image| format!("{{\"file_name\":\"{image}\",\"id\":{id},\"text_detected\":true}}"));
    let annotations = entries(|id, _| {
        format!(
            "{{\"caption\":\"A box\",\"image_id\":{id},\"is_precanned\":false,\"is_rejected\":false,\"id\":{id}}}"
        )
    });
    format!("{{\"info\":{{}},\"images\":[{list}],\"annotations\":[{annotations}]}}").into_bytes()
}

#[test]
fn vizwiz_and_nocaps_as_unpacked_are_read() {
    let vizwiz = directory(
        &[
            (
                "annotations/train.json",
                &coco_like(&["VizWiz_train_00000000.jpg", "VizWiz_train_00000001.jpg"]),
            ),
            ("annotations/val.json", &coco_like(&["VizWiz_val_00000000.jpg"])),
        ],
        &[
            "train/VizWiz_train_00000000.jpg",
            "train/VizWiz_train_00000001.jpg",
            "val/VizWiz_val_00000000.jpg",
        ]
        .map(str::to_owned),
    );
    let vizwiz = read(vizwiz.path());
    assert_eq!(captions(&vizwiz), 3);
    assert_eq!(
        splits(&vizwiz),
        [(Some(Split::Train), 2), (Some(Split::Dev), 1)].into()
    );

    let nocaps = directory(
        &[(
            "nocaps_val_4500_captions.json",
            &coco_like(&["0013ea2087020901.jpg", "0015e8d9f1f1a0b2.jpg"]),
        )],
        &["images/0013ea2087020901.jpg", "images/0015e8d9f1f1a0b2.jpg"].map(str::to_owned),
    );
    let nocaps = read(nocaps.path());
    assert_eq!(splits(&nocaps), [(Some(Split::Dev), 2)].into());
}

#[test]
fn columns_can_be_given() {
    let table = format!(
        "what,else,where,part\n{}",
        rows(|image, _| format!("A dog,A cat,{image},train\n"))
    );
    let source = directory(&[("captions.csv", table.as_bytes())], &below("images/"));
    let mut given = DataSource::new(source.path().join("captions.csv"));
    let error = given.read().unwrap_err().to_string();
    assert!(error.contains("--image-column"), "{error}");
    given.columns.image = Some("where".into());
    given.columns.caption = Some("what".into());
    given.columns.split = Some("part".into());
    let read = given.read().unwrap();
    assert_eq!(splits(&read), [(Some(Split::Train), 4)].into());
}

#[test]
fn names_without_extension_and_numbers_are_recognized_without_header() {
    let stem = |image: &str| image.trim_end_matches(".jpg").to_owned();
    let cases = [
        rows(|image, _| format!("{}\tA dog, running\n", stem(image))),
        rows(|image, _| format!("{},A dog, running\n", stem(image))),
        rows(|image, n| format!("{},{n},\"A dog, running\"\n", stem(image))),
        rows(|image, _| format!("{} A dog, running\n", stem(image))),
        rows(|image, _| format!("{image} A dog, running\n")),
        rows(|image, _| format!("'{image}';'A dog, running'\n")),
        format!(
            "what,is it\n{}",
            rows(|image, _| format!("{image},A dog, running\n"))
        ),
    ];
    for name in ["captions.txt", "captions.csv", "anything.tsv"] {
        for content in &cases {
            let source = directory(&[(name, content.as_bytes())], &below("images/"));
            let read = read(source.path());
            let raw: Vec<&str> = read
                .images
                .iter()
                .map(|image| image.captions[0].raw.as_str())
                .collect();
            assert_eq!(raw, ["A dog, running"; 4], "{name}\n{content}");
        }
    }
    for number in ["1", "1.0", "000000000001", "1.jpg"] {
        let table = format!("image_id,caption\n{number},A dog\n2,A cat\n");
        let images = ["images/000000000001.jpg", "images/2.png"].map(str::to_owned);
        let source = directory(&[("captions.csv", table.as_bytes())], &images);
        assert_eq!(read(source.path()).images.len(), 2, "{number}");
    }
}

#[test]
fn coco_ids_are_compared_as_numbers() {
    for (image, annotation) in [
        ("42", "\"42\""),
        ("\"42\"", "42"),
        ("42.0", "42"),
        ("42", "\"000000000042\""),
    ] {
        let json = format!(
            "{{\"images\":[{{\"id\":{image},\"file_name\":\"000000000042.jpg\"}}],\
             \"annotations\":[{{\"image_id\":{annotation},\"caption\":\"A dog\"}}]}}"
        );
        let source = directory(
            &[("annotations/captions_train2017.json", json.as_bytes())],
            &["train2017/000000000042.jpg".to_owned()],
        );
        assert_eq!(captions(&read(source.path())), 1, "{json}");
    }
    let without_images = b"{\"annotations\":[{\"image_id\":42,\"caption\":\"A dog\"}]}";
    let source = directory(
        &[("annotations/captions_val2017.json", without_images)],
        &["val2017/000000000042.jpg".to_owned()],
    );
    let read = read(source.path());
    assert_eq!(splits(&read), [(Some(Split::Dev), 1)].into());
    assert!(
        read.notes.iter().any(|note| note.contains("no `images`")),
        "{:?}",
        read.notes
    );
}

#[test]
fn json_objects_are_read_under_names_of_other_formats() {
    let objects = rows(|image, n| {
        format!(
            "{}{{\"file\":\"{image}\",\"captions\":[\"A dog\"]}}",
            if n > 0 { "," } else { "" }
        )
    });
    for (name, content) in [
        ("dataset.json", format!("{{\"images\":[{objects}]}}")),
        ("dataset.json", format!("{{\"data\":[{objects}]}}")),
        ("captions_all.json", format!("[{objects}]")),
        ("anything.json", format!("{{\"train\":[{objects}],\"val\":[]}}")),
    ] {
        let source = directory(&[(name, content.as_bytes())], &below("images/"));
        assert_eq!(captions(&read(source.path())), 4, "{name} {content}");
    }
}

#[test]
fn captions_are_found_below_the_source() {
    let coco = coco_like(&["101_a.jpg", "102_b.jpg"]);
    let source = directory(
        &[("coco/annotations/captions_train2017.json", &coco)],
        &below("coco/images/train2017/")[..2],
    );
    assert_eq!(captions(&read(source.path())), 2);

    let roboflow = directory(
        &[
            ("train/_annotations.coco.json", &coco),
            ("valid/_annotations.coco.json", &coco),
            ("README.roboflow.txt", b"text"),
        ],
        &[below("train/"), below("valid/")].concat(),
    );
    let expected = [(Some(Split::Train), 2), (Some(Split::Dev), 2)];
    assert_eq!(splits(&read(roboflow.path())), expected.into());

    let several = directory(
        &[
            ("a/captions.csv", b"image,caption\n"),
            ("b/captions.csv", b"image,caption\n"),
        ],
        &[],
    );
    let error = DataSource::new(several.path()).read().unwrap_err().to_string();
    assert!(error.contains("name one of them as SOURCE"), "{error}");
}

#[test]
fn urls_numbers_of_captions_and_start_tokens_are_left_out() {
    let table = format!(
        "img_path,is_train,Comment\n{}",
        rows(|image, n| format!(
            "http://host/pets/{image}?w=1&n={n},{},startseq A dog endseq\n",
            n % 2
        ))
    );
    let source = directory(&[("captions.csv", table.as_bytes())], &below("images/"));
    let read = read(source.path());
    assert_eq!(
        splits(&read),
        [(Some(Split::Train), 2), (Some(Split::Dev), 2)].into()
    );
    assert!(read.images.iter().all(|image| image.captions[0].raw == "A dog"));
    assert!(
        read.notes
            .iter()
            .any(|note| note.contains("such as `startseq` are left out of 4 captions")),
        "{:?}",
        read.notes
    );
}

#[test]
fn images_without_extension_and_encoded_names_are_found() {
    let source = directory(
        &[
            ("captions.csv", b"image,caption\n1.jpg,A dog\na%20b.jpg,A cat\n"),
            ("images/1", b"\xff\xd8\xff\xe0"),
        ],
        &["images/a b.jpg".to_owned()],
    );
    assert_eq!(captions(&read(source.path())), 2);
}

#[test]
fn other_columns_of_captions_and_keys_are_said() {
    let table = rows(|image, _| format!("{image},A dog,Un chien\n"));
    let table = format!("image,caption,caption_fr\n{table}");
    let objects = rows(|image, _| format!("{{\"file_name\": \"{image}\", \"text\": \"A dog\"}}\n"));
    for (name, content, expected) in [
        (
            "captions.csv",
            table,
            "not read: `caption_fr` (--caption-column takes one)",
        ),
        (
            "metadata.jsonl",
            objects,
            "image from `file_name`, caption from `text`",
        ),
    ] {
        let source = directory(&[(name, content.as_bytes())], &below(""));
        let notes = read(source.path()).notes;
        assert!(notes.iter().any(|note| note.contains(expected)), "{notes:?}");
    }
}

#[test]
fn rejected_captions_of_vizwiz_are_counted() {
    let annotations = r#"{"images": [{"id": 1, "coco_url": "http://host/train2017/101_a.jpg"}],
        "annotations": [{"image_id": 1, "caption": "A dog", "is_rejected": false},
        {"image_id": 1, "caption": "Too dark", "is_precanned": true}]}"#;
    let source = directory(
        &[("annotations/train.json", annotations.as_bytes())],
        &below("")[..1],
    );
    let read = read(source.path());
    assert_eq!(captions(&read), 1);
    assert!(
        read.notes[0].contains("1 caption marked `is_rejected` or `is_precanned`"),
        "{:?}",
        read.notes
    );
}

#[test]
fn files_beside_shards_and_of_libraries_are_no_captions() {
    let shards = directory(
        &[
            ("00000.tar", b"tar"),
            ("00000.parquet", b"PAR1"),
            ("00000_stats.json", b"{\"count\": 1}"),
        ],
        &[],
    );
    let error = DataSource::new(shards.path())
        .recognize()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("00000.tar, a tar archive: give it as SOURCE"),
        "{error}"
    );
    let saved = directory(
        &[
            ("train/data-00000-of-00001.arrow", b"ARROW1"),
            ("dataset_dict.json", b"{\"splits\": [\"train\"]}"),
            ("train/dataset_info.json", b"{}"),
            ("train/state.json", b"{}"),
        ],
        &[],
    );
    let error = DataSource::new(saved.path()).read().unwrap_err().to_string();
    assert!(
        error.contains("arrow, an Arrow file: load the dataset in Python"),
        "{error}"
    );
}

#[test]
fn images_that_are_not_read_are_named() {
    let table = b"image,caption\na.jpg,A dog\nb.jpg,A cat\n";
    let phone = directory(&[("captions.csv", table), ("a.heic", b""), ("b.HEIC", b"")], &[]);
    let error = DataSource::new(phone.path()).read().unwrap_err().to_string();
    assert!(
        error.contains("there are 2 files such as") && error.contains("a HEIC image: convert"),
        "{error}"
    );
    let zipped = directory(&[("metadata.csv", table), ("images.zip", b"PK\x03\x04")], &[]);
    let error = DataSource::new(zipped.path()).read().unwrap_err().to_string();
    assert!(
        error.contains("images.zip, a zip archive: unpack it with `unzip`"),
        "{error}"
    );
    let nowhere = DataSource {
        images: Some(zipped.path().join("nosuch")),
        ..DataSource::new(zipped.path())
    };
    let error = nowhere.read().unwrap_err().to_string();
    assert!(
        error.contains("nosuch: there is no such directory of images"),
        "{error}"
    );
}

#[test]
fn directory_in_a_name_chooses_between_files() {
    let table = b"image,caption\nx/img_1.jpg,A dog\ny/img_1.jpg,A cat\n";
    let images = ["x/img_1.png", "y/img_1.png"].map(str::to_owned);
    let source = directory(&[("captions.csv", table)], &images);
    let read = read(source.path());
    let paths: Vec<bool> = read
        .images
        .iter()
        .map(|image| image.path.ends_with(image.key.replace("jpg", "png")))
        .collect();
    assert_eq!(paths, [true, true]);
}

#[test]
fn errors_say_what_a_file_is() {
    let cases: [(&str, &[u8], &[&str]); 6] = [
        ("captions.csv", b"", &["it is empty"]),
        (
            "features.npz",
            b"PK\x03\x04\xff\0",
            &["NumPy arrays", "captions.csv"],
        ),
        ("photo.jpg", b"\xff\xd8\xff\xe0", &["an image"]),
        ("film.mp4", b"\0\0\0\x18ftypmp42", &["a video"]),
        (
            "instances_val2017.json",
            b"{\"images\":[{\"id\":1}],\"annotations\":[{\"image_id\":1,\"bbox\":[]}]}",
            &["annotations have no captions", "bbox"],
        ),
        (
            "captions.csv",
            b"image,capton\na.jpg,A dog\n",
            &["unknown column \"caption\" (nearest: \"capton\")"],
        ),
    ];
    for (name, content, expected) in cases {
        let source = directory(&[(name, content)], &below("images/"));
        let mut given = DataSource::new(source.path().join(name));
        given.columns.caption = expected[0].contains("column").then(|| "caption".to_owned());
        let error = given.read().unwrap_err().to_string();
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
    }
    let images = ["images/a/x.jpg", "images/b/x.jpg"].map(str::to_owned);
    let source = directory(&[("captions.csv", b"image,caption\nx.jpg,A dog\n")], &images);
    let error = DataSource::new(source.path()).read().unwrap_err().to_string();
    assert!(
        error.contains("1 name may be several files, such as x.jpg ("),
        "{error}"
    );
}
