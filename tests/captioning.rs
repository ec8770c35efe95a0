//! `evaluate` and `caption` on an untrained run.

#![allow(clippy::unwrap_used)] // in helpers of tests, where a panic is the report

mod support;

use std::fs;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::slice;

use cutline::data::{DataSource, Dataset, Image, PrepareSettings, Split, prepare};
use cutline::decoders::{DecoderKind, DecoderSettings};
use cutline::evaluation::{Report, SearchGrid, SearchTuner};
use cutline::jobs::Root;
use cutline::metrics::{self, Example, Metric};
use cutline::model::{EncoderSpec, ImageInputs, Model, ModelSpec, save};
use cutline::nn::random_stream;
use cutline::search::{DocumentFrequencies, Member};
use cutline::training::TrainedRun;
use cutline::training::{DataRecord, RunConfig, RunSettings};
use cutline::vision::backbones::small_cnn::SmallCnnSettings;
use dfdx::prelude::Cpu;
use support::{Workspace, err, out, text};
use tempfile::TempDir;

const COLORS: [(&str, [u8; 3]); 4] = [
    ("red", [220, 30, 30]),
    ("green", [20, 200, 40]),
    ("blue", [30, 40, 230]),
    ("white", [250, 250, 250]),
];
const DEV_IMAGES: usize = 24;

const RUN: &str = "squares-001";

impl Workspace {
    /// With the dataset `squares` and the run `squares-001`. `scale` multiplies the decoder's initial weights: large
    /// weights give different captions to different images.
    fn with_squares(scale: f32) -> Self {
        let workspace = Self::new();
        let data = workspace.dataset("squares");
        let dataset = squares(&workspace.file("source"), &data);
        make_run(&workspace.root(), RUN, &data, &dataset, scale);
        workspace
    }

    /// With a second run `squares-002`, which has other weights.
    fn with_two_runs(scale: f32) -> Self {
        let workspace = Self::with_squares(scale);
        let data = workspace.dataset("squares");
        let dataset = Dataset::load(&data).unwrap();
        make_run(&workspace.root(), "squares-002", &data, &dataset, scale);
        workspace
    }

    fn image(&self, number: usize) -> PathBuf {
        self.file(&format!("source/{number}.png"))
    }

    #[track_caller]
    fn report(&self, more: &[&str]) -> Report {
        let arguments = [&["evaluate", RUN, "--json"], more].concat();
        serde_json::from_str(&self.succeeds(&arguments)).unwrap()
    }
}

/// Squares of one color on gray, at different positions.
fn squares(source: &Path, data: &Path) -> Dataset {
    fs::create_dir(source).unwrap();
    let mut captions = "image,caption,split\n".to_owned();
    for number in 0..2 * DEV_IMAGES {
        let (name, color) = COLORS[number % COLORS.len()];
        let corner = (number / COLORS.len()) as u32;
        image::RgbImage::from_fn(24, 20, |x, y| {
            let inside = (corner..corner + 8).contains(&x) && (corner..corner + 8).contains(&y);
            image::Rgb(if inside { color } else { [110; 3] })
        })
        .save(source.join(format!("{number}.png")))
        .unwrap();
        let split = if number < DEV_IMAGES { "dev" } else { "train" };
        for caption in [
            format!("a {name} square on gray"),
            format!("on gray there is a {name} square"),
        ] {
            captions += &format!("{number}.png,{caption},{split}\n");
        }
    }
    fs::write(source.join("captions.csv"), captions).unwrap();
    let settings = PrepareSettings {
        minimum_count: 1,
        ..Default::default()
    };
    let (dataset, _) = prepare(&settings, &DataSource::new(source), data, &|_| Ok(()), &|_| ()).unwrap();
    dataset
}

fn make_run(root: &Root, name: &str, data: &Path, dataset: &Dataset, scale: f32) {
    let run = root.create_run(&name.parse().unwrap()).unwrap();
    let width = NonZeroUsize::new(8).unwrap();
    let spec = ModelSpec {
        encoder: EncoderSpec::SmallCnn(SmallCnnSettings {
            size: NonZeroU32::new(16).unwrap(),
            widths: vec![width, width],
        }),
        decoder: DecoderSettings {
            kind: DecoderKind::Inject,
            hidden_size: 16,
            embedding_size: 8,
            dropout: 0.0,
            ..DecoderSettings::default()
        },
        vocabulary: dataset.vocabulary.len(),
    };
    let mut model = Model::new(&Cpu::default(), spec, &mut random_stream(1, name, 0)).unwrap();
    for parameter in model.decoder.parameters_mut() {
        parameter.value = parameter.value.clone() * scale;
    }
    save(run.best(), &model, Vec::new(), serde_json::Value::Null).unwrap();
    dataset.vocabulary.write(run.vocabulary()).unwrap();
    let record = RunConfig {
        version: "test".into(),
        data: DataRecord {
            name: "squares".into(),
            directory: data.to_owned(),
            hash: dataset.hash.clone(),
            weights: None,
        },
        settings: RunSettings::default(),
    };
    record.save(&run.config()).unwrap();
}

/// The untrained decoder writes different captions with these.
const LARGE_WEIGHTS: f32 = 6.0;

mod evaluate {
    use super::*;

    #[test]
    fn report_scores_match_its_captions() {
        let workspace = Workspace::with_squares(LARGE_WEIGHTS);
        let report = workspace.report(&[]);
        assert_eq!(report.summary.images, DEV_IMAGES);
        assert!(report.summary.diversity.distinct_captions > 2);
        let words = |caption: &String| caption.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let captions: Vec<_> = report.captions.iter().map(|row| words(&row.caption)).collect();
        let references: Vec<Vec<_>> = report
            .captions
            .iter()
            .map(|row| row.references.iter().map(words).collect())
            .collect();
        let examples: Vec<_> = captions
            .iter()
            .zip(&references)
            .map(|(hypothesis, references)| Example {
                hypothesis,
                references,
            })
            .collect();
        let again = metrics::score(&examples);
        for (metric, interval) in report.summary.intervals_95.iter() {
            let (score, again) = (report.summary.scores.score(metric), again.score(metric));
            assert!((score - again).abs() < 1e-12, "{score} {again}");
            assert!(interval.low <= score && score <= interval.high);
        }
        assert_eq!(
            report,
            workspace.report(&["--checkpoint", "best", "--split", "val"])
        );
    }

    #[test]
    fn search_flags_override_run_settings() {
        let workspace = Workspace::with_squares(LARGE_WEIGHTS);
        let settings = RunSettings::default().search;
        assert_eq!(workspace.report(&[]).search, settings);
        let greedy = workspace.report(&["--beam-size", "1", "--max-length", "3"]);
        assert_eq!((greedy.search.beam_size, greedy.search.max_length()), (1, 3));
        assert!(greedy.summary.diversity.mean_length <= 3.0);
        let error = workspace.fails(&["evaluate", "squares-001", "--min-length", "30"]);
        assert!(error.contains("--min-length"), "{error}");
    }

    #[test]
    fn untrained_decoder_is_diagnosed() {
        let workspace = Workspace::with_squares(1e-3);
        let printed = workspace.succeeds(&[
            "evaluate",
            "squares-001",
            "--out",
            text(&workspace.image(0).with_extension("json")),
        ]);
        for part in [
            "metric    score",
            "CIDEr-D",
            "24 images of squares, dev split; best checkpoint; beam 3",
            "most common caption  100.0 % of images",
            "degenerate output:",
            "100 % of the images get the same caption",
            "undertrained",
            "reference: a red square on gray",
        ] {
            assert!(printed.contains(part), "{part}:\n{printed}");
        }
        assert!(!printed.contains('\u{1b}'));
        let written = fs::read_to_string(workspace.image(0).with_extension("json")).unwrap();
        let written: Report = serde_json::from_str(&written).unwrap();
        assert_eq!(written.summary.diversity.most_common_fraction, 1.0);
    }

    #[test]
    fn moved_dataset_is_found_and_changed_one_gives_a_warning() {
        let workspace = Workspace::with_squares(LARGE_WEIGHTS);
        let run = workspace.run_directory(RUN);
        let mut record = RunConfig::load(run.config()).unwrap();
        record.data.directory = workspace.path().join("gone");
        record.data.hash = "another".into();
        record.save(&run.config()).unwrap();
        let output = workspace.run(&["evaluate", "squares-001"]);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        assert!(err(&output).contains("has changed since this run was trained on it"));
    }

    #[test]
    fn attention_of_decoder_without_attention_is_an_error() {
        let workspace = Workspace::with_squares(LARGE_WEIGHTS);
        let image = workspace.image(0);
        let error = workspace.fails(&["caption", "squares-001", text(&image), "--attention"]);
        assert!(
            error.contains("squares-001 has no attention weights to show"),
            "{error}"
        );
        assert!(
            error.contains("--decoder soft-attention or --decoder top-down"),
            "{error}"
        );
    }

    #[test]
    fn missing_or_damaged_files_are_named() {
        let workspace = Workspace::with_squares(LARGE_WEIGHTS);
        let error = workspace.fails(&["evaluate", "squares-002"]);
        assert!(error.contains("did you mean `squares-001`?"), "{error}");
        let error = workspace.fails(&["evaluate", "squares-001", "--checkpoint", "latest"]);
        assert!(
            error.contains("latest.safetensors: the run has no such checkpoint yet"),
            "{error}"
        );
        let error = workspace.fails(&["evaluate", "squares-001", "--split", "test"]);
        assert!(error.contains("the test split has no images"), "{error}");

        let run = workspace.run_directory(RUN);
        let whole = fs::read(run.best()).unwrap();
        fs::write(run.best(), &whole[..whole.len() / 2]).unwrap();
        for subcommand in ["evaluate", "caption"] {
            let image = workspace.image(0);
            let arguments = [subcommand, "squares-001", text(&image)];
            let error = workspace.fails(&arguments[..if subcommand == "caption" { 3 } else { 2 }]);
            assert!(
                error.contains("best.safetensors: not a complete checkpoint"),
                "{error}"
            );
        }
        fs::write(run.best(), whole).unwrap();
        fs::write(run.vocabulary(), "one\t1\n").unwrap();
        let error = workspace.fails(&["evaluate", "squares-001"]);
        assert!(
            error.contains("vocabulary.txt: 5 words, but the model of"),
            "{error}"
        );
    }
}

mod ensembles {
    use super::*;

    #[test]
    fn ensemble_of_one_run_twice_equals_the_run() {
        let workspace = Workspace::with_squares(LARGE_WEIGHTS);
        let (alone, twice) = (
            workspace.report(&[]),
            workspace.report(&["--ensemble", "squares-001"]),
        );
        assert_eq!(alone.captions, twice.captions);
        assert_eq!(twice.info.ensemble[0].to_string(), "squares-001/best");
        assert!(alone.info.ensemble.is_empty());
    }

    #[test]
    fn ensemble_evaluation_names_members_and_keeps_the_runs_own() {
        let workspace = Workspace::with_two_runs(LARGE_WEIGHTS);
        let alone = workspace.report(&[]);
        let printed = workspace.succeeds(&["evaluate", "squares-001", "--ensemble", "squares-002/best"]);
        assert!(
            printed.contains("best checkpoint with squares-002/best"),
            "{printed}"
        );
        let kept = workspace.succeeds(&["compare", "squares-001/dev-best-with-squares-002", "--json"]);
        let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
        assert_eq!(kept["evaluations"][0]["ensemble"][0]["run"], "squares-002");
        let together = workspace.report(&["--ensemble", "squares-002"]);
        assert_ne!(alone.captions, together.captions);
        assert_eq!(
            alone,
            workspace.report(&[]),
            "the run's own evaluation is its own still"
        );
    }

    #[test]
    fn caption_with_ensemble_equals_evaluated_caption() {
        let workspace = Workspace::with_two_runs(LARGE_WEIGHTS);
        let report = workspace.report(&["--ensemble", "squares-002"]);
        let image = workspace.path().join("source").join(&report.captions[5].image);
        let line = workspace.succeeds(&[
            "caption",
            "squares-001",
            text(&image),
            "--ensemble",
            "squares-002",
        ]);
        let (_, caption) = line.trim_end().split_once('\t').unwrap();
        assert_eq!(caption, report.captions[5].caption);
    }

    #[test]
    fn ensemble_with_other_vocabulary_is_rejected() {
        let workspace = Workspace::with_two_runs(LARGE_WEIGHTS);
        let other = workspace.root().find_run("squares-002").unwrap().vocabulary();
        let words = fs::read_to_string(&other).unwrap();
        fs::write(&other, words.replace("gray", "beige")).unwrap();
        for arguments in [
            &["evaluate", "squares-001"][..],
            &["caption", "squares-001", "x.png"],
        ] {
            let error = workspace.fails(&[arguments, &["--ensemble", "squares-002"]].concat());
            assert!(
                error.contains("`squares-001` and `squares-002` cannot form an ensemble"),
                "{error}"
            );
            assert!(
                error.contains(r#"is "gray" in the first vocabulary and "beige""#),
                "{error}"
            );
        }
        let error = workspace.fails(&["evaluate", "squares-001", "--ensemble", "squares-002/latest"]);
        assert!(error.contains("no such checkpoint yet"), "{error}");
    }
}

mod mbr {
    use super::*;

    const ON: [&str; 6] = ["--beam-size", "8", "--mbr-weight", "1", "--mbr-temperature", "5"];

    pub(super) fn write_ngrams(workspace: &Workspace) {
        let dataset = Dataset::load(workspace.root().dataset_dir(&"squares".parse().unwrap())).unwrap();
        let encode = |image: &Image| {
            let captions = image.captions.iter();
            captions
                .map(|caption| dataset.vocabulary.encode(&caption.tokens))
                .collect()
        };
        let captions: Vec<Vec<Vec<u32>>> = dataset.images(Split::Train).map(encode).collect();
        DocumentFrequencies::from_images(captions.iter().map(Vec::as_slice))
            .write(workspace.run_directory(RUN).ngrams())
            .unwrap();
    }

    #[test]
    fn mbr_applies_to_evaluate_and_caption() {
        let workspace = Workspace::with_squares(LARGE_WEIGHTS);
        write_ngrams(&workspace);
        let (plain, report) = (workspace.report(&["--beam-size", "8"]), workspace.report(&ON));
        assert_eq!(report.search.mbr_weight, 1.0);
        assert_ne!(plain.captions, report.captions);
        let image = workspace.path().join("source").join(&report.captions[5].image);
        let line = workspace.succeeds(&[&["caption", "squares-001", text(&image)][..], &ON].concat());
        let (_, caption) = line.trim_end().split_once('\t').unwrap();
        assert_eq!(caption, report.captions[5].caption);
    }

    #[test]
    fn mbr_without_document_frequencies_is_an_error() {
        let workspace = Workspace::with_squares(LARGE_WEIGHTS);
        for arguments in [
            &["evaluate", "squares-001"][..],
            &["caption", "squares-001", "x.png"],
        ] {
            let error = workspace.fails(&[arguments, &ON].concat());
            assert!(
                error.contains("run `squares-001` has no document frequencies"),
                "{error}"
            );
        }
        fs::write(
            workspace.run_directory(RUN).ngrams(),
            "# 24 images, 1 n-grams\n99\t2\n",
        )
        .unwrap();
        let error = workspace.fails(&[&["evaluate", "squares-001"][..], &ON].concat());
        assert!(
            error.contains("ngrams.tsv, line 2: a token is not in the vocabulary"),
            "{error}"
        );
        workspace.report(&["--beam-size", "8"]);
    }
}

mod tune_search {
    use super::*;

    fn tune(workspace: &Workspace, more: &[&str]) -> serde_json::Value {
        let arguments = [&["evaluate", "squares-001", "--tune-search", "--json"], more].concat();
        serde_json::from_str(&workspace.succeeds(&arguments)).unwrap()
    }

    #[test]
    fn tuned_scores_equal_those_of_evaluate() {
        let workspace = Workspace::with_squares(LARGE_WEIGHTS);
        mbr::write_ngrams(&workspace);
        let report = tune(&workspace, &["--metric", "bleu_4"]);
        assert_eq!(report["metric"], "BLEU-4");
        let tried = report["trials"].as_array().unwrap();
        let bleu_4 = |tried: &serde_json::Value| tried["bleu_4"].as_f64().unwrap();
        assert!(tried.is_sorted_by(|a, b| bleu_4(a) >= bleu_4(b)));
        let with_mbr = tried
            .iter()
            .position(|tried| tried["search"]["mbr_weight"] == 0.3);
        for tried in [&tried[0], &tried[tried.len() / 2], &tried[with_mbr.unwrap()]] {
            let search = &tried["search"];
            let flags = [
                ("--beam-size", "beam_size"),
                ("--length-penalty", "length_penalty"),
                ("--mbr-weight", "mbr_weight"),
                ("--mbr-temperature", "mbr_temperature"),
            ]
            .map(|(flag, key)| [flag.to_owned(), search[key].to_string()]);
            let flags: Vec<&str> = flags.iter().flatten().map(String::as_str).collect();
            let alone = workspace.report(&flags).summary.scores;
            for (metric, alone) in alone.iter() {
                assert!((tried[metric.key()].as_f64().unwrap() - alone).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn best_settings_are_printed_as_flags() {
        let workspace = Workspace::with_two_runs(LARGE_WEIGHTS);
        let arguments = [
            "evaluate",
            "squares-001",
            "--tune-search",
            "--ensemble",
            "squares-002",
            "--beam-size",
            "4",
        ];
        let output = workspace.run(&arguments);
        assert!(err(&output).contains("MBR is not tuned: "), "{}", err(&output));
        let printed = String::from_utf8(output.stdout).unwrap();
        let mut lines = printed.lines().skip_while(|line| !line.starts_with("the best"));
        let flags = lines.nth(1).unwrap();
        let flags: Vec<&str> = flags.split_whitespace().collect();
        let report = workspace.report(&[&["--ensemble", "squares-002"], &flags[..]].concat());
        let score = format!("{:.4}", report.summary.scores.score(Metric::CIDER_D));
        assert!(printed.lines().nth(1).unwrap().ends_with(&score), "{printed}");
        assert!(
            printed.contains("best checkpoint with squares-002/best"),
            "{printed}"
        );
    }

    #[test]
    fn stopped_tuning_keeps_finished_beam_sizes() {
        let workspace = Workspace::with_squares(LARGE_WEIGHTS);
        let run = workspace.run_directory(RUN);
        let run = TrainedRun::open(&run, &run.best(), &Cpu::default()).unwrap();
        let directory = run.dataset_directory(&workspace.root()).unwrap();
        let dataset = Dataset::load(&directory).unwrap();
        let images: Vec<&Image> = dataset.images(Split::Dev).collect();
        let encoder = &run.model.spec().encoder;
        let inputs = ImageInputs::open(encoder, &directory, images.iter().copied()).unwrap();
        let member = Member {
            model: &run.model,
            inputs: &inputs,
        };
        let grid = SearchGrid {
            beam_sizes: vec![2, 3],
            mbr_weights: Vec::new(),
            ..SearchGrid::default()
        };
        let until = |last: usize| {
            let mut progress = |captions: usize| match captions > last {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            };
            let tuner = SearchTuner::new(&images, &run.vocabulary, None);
            tuner.run(
                slice::from_ref(&member),
                &run.record.settings.search,
                &grid,
                &mut progress,
            )
        };
        let whole = until(usize::MAX).unwrap();
        let first_beam = until(0).unwrap();
        assert_eq!(first_beam, whole[..whole.len() / 2]);
        assert!(first_beam.iter().all(|tried| tried.search.beam_size == 2));
    }

    #[test]
    fn default_row_is_named_after_flags_if_there_are_any() {
        let workspace = Workspace::with_squares(LARGE_WEIGHTS);
        let printed = |flags: &[&str]| {
            workspace.succeeds(
                &[
                    &["evaluate", "squares-001", "--tune-search", "--beam-size", "2"],
                    flags,
                ]
                .concat(),
            )
        };
        assert!(
            printed(&["--length-penalty", "0.7"]).contains(": these flags without --tune-search"),
            "the run has another beam"
        );
    }

    #[test]
    fn tuning_on_another_split_is_rejected() {
        let workspace = Workspace::with_squares(LARGE_WEIGHTS);
        let error = workspace.fails(&["evaluate", "squares-001", "--tune-search", "--split", "train"]);
        assert!(error.contains("it runs on the dev split only"), "{error}");
        let error = workspace.fails(&["evaluate", "squares-001", "--tune-search", "--seed", "3"]);
        assert!(
            error.contains("remove --temperature, --top-k and --seed"),
            "{error}"
        );
    }
}

mod caption {
    use super::*;

    #[test]
    fn caption_of_dataset_image_equals_evaluated_caption() {
        let workspace = Workspace::with_squares(LARGE_WEIGHTS);
        let report = workspace.report(&[]);
        let images: Vec<PathBuf> = report
            .captions
            .iter()
            .map(|row| workspace.path().join("source").join(&row.image))
            .collect();
        let arguments: Vec<&str> = ["caption", "squares-001", "--json"]
            .into_iter()
            .chain(images.iter().map(|image| text(image)))
            .collect();
        let lines = workspace.succeeds(&arguments);
        assert_eq!(lines.lines().count(), DEV_IMAGES);
        for (line, row) in lines.lines().zip(&report.captions) {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(object["caption"], row.caption.as_str());
            let log_probability = object["log_probability"].as_f64().unwrap();
            assert!((log_probability - row.log_probability).abs() < 1e-4);
            assert_eq!(object["alternatives"].as_array().unwrap().len(), 2, "beam 3");
            assert_eq!(object["references"][0], row.references[0].as_str());
        }
    }

    #[test]
    fn piped_caption_is_path_tab_caption() {
        let workspace = Workspace::with_squares(LARGE_WEIGHTS);
        let image = workspace.image(3);
        let lines = workspace.succeeds(&["caption", "squares-001", text(&image), "--seed", "4"]);
        let (path, caption) = lines.trim_end().split_once('\t').unwrap();
        assert_eq!(path, text(&image));
        assert!(!caption.is_empty());
        let others = [text(&image), text(&workspace.image(5)), text(&image)].map(str::to_owned);
        let arguments = [
            "caption",
            "squares-001",
            &others[0],
            &others[1],
            &others[2],
            "--seed",
            "4",
        ];
        let together = workspace.succeeds(&arguments);
        let together: Vec<&str> = together.lines().collect();
        assert_eq!(
            [together[0], together[2]],
            [lines.trim_end(); 2],
            "whatever else is asked for"
        );
    }

    #[test]
    fn unreadable_image_is_named_and_others_are_captioned() {
        let workspace = Workspace::with_squares(LARGE_WEIGHTS);
        let notes = workspace.path().join("notes\u{1b}[2J.jpg");
        fs::write(&notes, "these are notes, not pixels\n").unwrap();
        let (one, other) = (workspace.image(0), workspace.image(1));
        let output = workspace.run(&["caption", "squares-001", text(&one), text(&notes), text(&other)]);
        assert_eq!(output.status.code(), Some(1));
        let lines = String::from_utf8(output.stdout.clone()).unwrap();
        let paths: Vec<&str> = lines
            .lines()
            .map(|line| line.split_once('\t').unwrap().0)
            .collect();
        assert_eq!(paths, [text(&one), text(&other)]);
        let error = err(&output);
        assert!(
            error.contains("[2J.jpg") && error.contains("not an image"),
            "{error}"
        );
        assert!(error.contains("1 of 3 images failed"), "{error}");
        assert!(!error.contains('\u{1b}'));
    }

    #[test]
    fn second_run_writes_only_beside_new_images() {
        let workspace = Workspace::with_squares(LARGE_WEIGHTS);
        let photos = workspace.path().join("photos");
        fs::create_dir(&photos).unwrap();
        let write = |more: &[&str]| {
            workspace.run(&[&["caption", "squares-001", text(&photos), "--write", "txt"], more].concat())
        };
        fs::copy(workspace.image(0), photos.join("a.png")).unwrap();
        fs::write(photos.join("a.txt"), "a reference\n").unwrap();
        fs::copy(workspace.image(1), photos.join("b.png")).unwrap();

        let output = write(&[]);
        assert!(output.status.success(), "{}", err(&output));
        let notice = err(&output);
        assert!(
            notice.contains("skipped 1 image with a file of captions already") && notice.contains("--force"),
            "{notice}"
        );
        assert_eq!(out(&output).lines().count(), 1);
        assert_eq!(fs::read_to_string(photos.join("a.txt")).unwrap(), "a reference\n");
        let written = fs::read_to_string(photos.join("b.txt")).unwrap();

        let output = write(&[]);
        assert!(
            output.status.success() && out(&output).is_empty(),
            "{}",
            err(&output)
        );
        let output = write(&["--force"]);
        assert!(output.status.success(), "{}", err(&output));
        assert_ne!(fs::read_to_string(photos.join("a.txt")).unwrap(), "a reference\n");
        assert_eq!(fs::read_to_string(photos.join("b.txt")).unwrap(), written);
    }

    #[test]
    fn directories_are_named_on_standard_input() {
        let workspace = Workspace::with_squares(LARGE_WEIGHTS);
        let photos = workspace.path().join("photos");
        fs::create_dir(&photos).unwrap();
        fs::copy(workspace.image(0), photos.join("a.png")).unwrap();
        let mut command = workspace.command(&["caption", "squares-001", "-"]);
        let names = format!("{}\n{}\n", text(&photos), text(&workspace.image(1)));
        let names_file = workspace.path().join("names");
        fs::write(&names_file, names).unwrap();
        let output = command
            .stdin(fs::File::open(names_file).unwrap())
            .output()
            .unwrap();
        assert_eq!(out(&output).lines().count(), 2, "{}", err(&output));
    }

    #[test]
    fn references_match_files_by_content() {
        let workspace = Workspace::with_squares(LARGE_WEIGHTS);
        let elsewhere = TempDir::new().unwrap();
        let copy = elsewhere.path().join("0.png");
        let references = || {
            let line = workspace.succeeds(&["caption", "squares-001", "--json", text(&copy)]);
            serde_json::from_str::<serde_json::Value>(&line).unwrap()["references"].clone()
        };
        fs::copy(workspace.image(0), &copy).unwrap();
        assert_eq!(references()[0], "a red square on gray");
        fs::copy(workspace.image(1), &copy).unwrap();
        assert_eq!(
            references(),
            serde_json::Value::Null,
            "another image of the same name"
        );
    }
}

#[test]
fn packed_folder_for_the_hub_captions_and_states_its_scores() {
    let workspace = Workspace::with_squares(20.0);
    let report = workspace.report(&[]);
    let folder = workspace.file("hub");
    let image = workspace.image(0);
    let (folder_text, image) = (text(&folder), text(&image));
    let pack = [
        "pack",
        RUN,
        "--format",
        "hf",
        "--out",
        folder_text,
        "--license",
        "mit",
    ];
    workspace.succeeds(&[&pack[..], &["--language", "en"]].concat());
    let again = workspace.fails(&pack);
    assert!(again.contains("--force"), "{again}");

    let packed = folder.join("model.safetensors");
    assert_eq!(
        workspace.succeeds(&["caption", text(&packed), image]),
        workspace.succeeds(&["caption", RUN, image])
    );
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let metadata = readme
        .strip_prefix("---\n")
        .unwrap()
        .split_once("---\n")
        .unwrap()
        .0;
    for line in [
        "license: \"mit\"",
        "- \"en\"",
        "pipeline_tag: image-to-text",
        "datasets:\n- \"squares\"",
        "metrics:\n- bleu\n- cider\n",
        "      split: \"dev\"",
    ] {
        assert!(metadata.contains(line), "{line} is not in\n{metadata}");
    }
    let cider = report.summary.ptb.unwrap().scores.score(Metric::CIDER_D);
    assert!(
        metadata.contains(&format!("      value: {cider}\n")),
        "{metadata}"
    );
    let config = fs::read(folder.join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["model"]["decoder"]["kind"], "inject");
}

#[test]
fn packed_folder_of_graphs_has_its_words_and_states() {
    let workspace = Workspace::with_squares(20.0);
    let folder = workspace.file("graphs");
    let pack = ["pack", RUN, "--format", "onnx", "--out", text(&folder)];
    workspace.succeeds(&pack);
    let json = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
    };
    assert_eq!(json("vocabulary.json")[1], "<start>");
    let states = json("config.json")["states"].clone();
    assert_eq!(
        states[0],
        serde_json::json!({"input": "hidden", "output": "next_hidden"})
    );
    assert_eq!(states.as_array().unwrap().len(), 2);
    for graph in ["encoder.onnx", "decoder.onnx"] {
        assert!(fs::metadata(folder.join(graph)).unwrap().len() > 1000, "{graph}");
    }
    let error = workspace.fails(&[&pack[..], &["--force", "--dtype", "f16"]].concat());
    assert!(error.contains("--dtype"), "{error}");
}
