//! `evaluate` and `caption` as a user meets them, on a run that is made here, untrained, in a moment.

#![allow(clippy::unwrap_used)] // in helpers of tests, where a panic is the report

use std::fs;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::slice;

use assert_cmd::Command;
use cutline::data::{DataSource, Dataset, Image, PrepareSettings, Split, prepare};
use cutline::decoders::{DecoderKind, DecoderSettings};
use cutline::evaluation::{Report, SearchGrid, SearchTuner};
use cutline::jobs::{Root, RunDirectory};
use cutline::metrics::{Example, Metric, score};
use cutline::model::{EncoderSpec, ImageInputs, Model, ModelSpec, save};
use cutline::nn::random_stream;
use cutline::search::{DocumentFrequencies, Member};
use cutline::training::TrainedRun;
use cutline::training::{DataRecord, RunRecord, RunSettings};
use cutline::vision::backbones::small_cnn::SmallCnnSettings;
use dfdx::prelude::Cpu;
use tempfile::TempDir;

const COLORS: [(&str, [u8; 3]); 4] = [
    ("red", [220, 30, 30]),
    ("green", [20, 200, 40]),
    ("blue", [30, 40, 230]),
    ("white", [250, 250, 250]),
];
const DEV_IMAGES: usize = 24;

/// A working directory with the data set `squares` and the run `squares-001`.
struct Place {
    directory: TempDir,
}

impl Place {
    /// `scale` is what the decoder's first weights are multiplied with: large ones have opinions of their own.
    fn new(scale: f32) -> Self {
        let directory = TempDir::new().unwrap();
        let root = Root::new(directory.path());
        let data = root.dataset_dir(&"squares".parse().unwrap());
        let data_set = squares(&directory.path().join("source"), data.as_path());
        make_run(&root, "squares-001", data.as_path(), &data_set, scale);
        Self { directory }
    }

    /// With a run `squares-002`, whose weights are others.
    fn with_another_run(scale: f32) -> Self {
        let place = Self::new(scale);
        let data = place.root().dataset_dir(&"squares".parse().unwrap());
        let data_set = Dataset::load(&data).unwrap();
        make_run(&place.root(), "squares-002", data.as_path(), &data_set, scale);
        place
    }

    fn root(&self) -> Root {
        Root::new(self.directory.path())
    }

    fn run_directory(&self) -> RunDirectory {
        self.root().find_run("squares-001").unwrap()
    }

    fn image(&self, number: usize) -> PathBuf {
        self.directory.path().join(format!("source/{number}.png"))
    }

    fn cutline(&self, arguments: &[&str]) -> Output {
        Command::cargo_bin("cutline")
            .unwrap()
            .env_remove("NO_COLOR")
            .env("CUTLINE_ROOT", self.directory.path())
            .args(arguments)
            .output()
            .unwrap()
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.cutline(arguments);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.cutline(arguments);
        assert_eq!(output.status.code(), Some(1), "{}", err(&output));
        err(&output)
    }

    #[track_caller]
    fn report(&self, more: &[&str]) -> Report {
        let arguments = [&["evaluate", "squares-001", "--json"], more].concat();
        serde_json::from_str(&self.succeeds(&arguments)).unwrap()
    }
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Squares of one color on a gray ground, at places of their own.
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
    let (data_set, _) = prepare(&settings, &DataSource::at(source), data, &|_| Ok(()), &|_| ()).unwrap();
    data_set
}

fn make_run(root: &Root, name: &str, data: &Path, data_set: &Dataset, scale: f32) {
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
        vocabulary: data_set.vocabulary.len(),
    };
    let mut model = Model::new(&Cpu::default(), spec, &mut random_stream(1, name, 0)).unwrap();
    for parameter in model.decoder.parameters_mut() {
        parameter.value = parameter.value.clone() * scale;
    }
    save(&run.best(), &model, Vec::new(), serde_json::Value::Null).unwrap();
    data_set.vocabulary.write(&run.vocabulary()).unwrap();
    let record = RunRecord {
        program: "test".into(),
        data: DataRecord {
            name: "squares".into(),
            directory: data.to_owned(),
            hash: data_set.hash.clone(),
            weights: None,
        },
        settings: RunSettings::default(),
    };
    record.save(&run.config()).unwrap();
}

/// Weights at which the untrained decoder says different things of different images.
const OPINIONATED: f32 = 6.0;

mod evaluate {
    use super::*;

    #[test]
    fn the_report_scores_the_captions_it_lists() {
        let place = Place::new(OPINIONATED);
        let report = place.report(&[]);
        assert_eq!(report.figures.images, DEV_IMAGES);
        assert!(report.figures.diversity.distinct_captions > 2);
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
        let again = score(&examples);
        for (metric, interval) in report.figures.intervals_95.iter() {
            let (told, again) = (report.figures.scores.score(metric), again.score(metric));
            assert!((told - again).abs() < 1e-12, "{told} {again}");
            assert!(interval.low <= told && told <= interval.high);
        }
        assert_eq!(report, place.report(&["--checkpoint", "best", "--split", "val"]));
    }

    #[test]
    fn flags_change_the_runs_own_search() {
        let place = Place::new(OPINIONATED);
        let settings = RunSettings::default().search;
        assert_eq!(place.report(&[]).search, settings);
        let greedy = place.report(&["--beam-size", "1", "--max-length", "3"]);
        assert_eq!((greedy.search.beam_size, greedy.search.max_length), (1, 3));
        assert!(greedy.figures.diversity.mean_length <= 3.0);
        let error = place.fails(&["evaluate", "squares-001", "--min-length", "30"]);
        assert!(error.contains("--min-length"), "{error}");
    }

    #[test]
    fn untrained_decoder_is_diagnosed() {
        let place = Place::new(1e-3);
        let told = place.succeeds(&[
            "evaluate",
            "squares-001",
            "--out",
            text(&place.image(0).with_extension("json")),
        ]);
        for part in [
            "metric    score",
            "CIDEr-D",
            "24 images of squares, dev split; best checkpoint; beam 3",
            "commonest caption   100.0 % of images",
            "degenerate output:",
            "100 % of the images get the same caption",
            "undertrained",
            "reference: a red square on gray",
        ] {
            assert!(told.contains(part), "{part}:\n{told}");
        }
        assert!(!told.contains('\u{1b}'));
        let written = fs::read_to_string(place.image(0).with_extension("json")).unwrap();
        let written: Report = serde_json::from_str(&written).unwrap();
        assert_eq!(written.figures.diversity.commonest_share, 1.0);
    }

    #[test]
    fn a_data_set_that_moved_is_found_and_another_is_warned_of() {
        let place = Place::new(OPINIONATED);
        let run = place.run_directory();
        let mut record = RunRecord::load(&run.config()).unwrap();
        record.data.directory = place.directory.path().join("gone");
        record.data.hash = "another".into();
        record.save(&run.config()).unwrap();
        let output = place.cutline(&["evaluate", "squares-001"]);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        assert!(err(&output).contains("has changed since this run was trained on it"));
    }

    #[test]
    fn attention_is_asked_of_decoders_that_attend() {
        let place = Place::new(OPINIONATED);
        let image = place.image(0);
        let error = place.fails(&["caption", "squares-001", text(&image), "--attention"]);
        assert!(
            error.contains("where squares-001 looks cannot be shown"),
            "{error}"
        );
        assert!(
            error.contains("--decoder soft-attention or --decoder top-down"),
            "{error}"
        );
    }

    #[test]
    fn what_is_missing_or_damaged_is_named() {
        let place = Place::new(OPINIONATED);
        let error = place.fails(&["evaluate", "squares-002"]);
        assert!(error.contains("did you mean `squares-001`?"), "{error}");
        let error = place.fails(&["evaluate", "squares-001", "--checkpoint", "latest"]);
        assert!(
            error.contains("latest.safetensors: the run has no such checkpoint yet"),
            "{error}"
        );
        let error = place.fails(&["evaluate", "squares-001", "--split", "test"]);
        assert!(error.contains("the test split has no images"), "{error}");

        let run = place.run_directory();
        let whole = fs::read(run.best()).unwrap();
        fs::write(run.best(), &whole[..whole.len() / 2]).unwrap();
        for subcommand in ["evaluate", "caption"] {
            let image = place.image(0);
            let arguments = [subcommand, "squares-001", text(&image)];
            let error = place.fails(&arguments[..if subcommand == "caption" { 3 } else { 2 }]);
            assert!(
                error.contains("best.safetensors: not a complete checkpoint"),
                "{error}"
            );
        }
        fs::write(run.best(), whole).unwrap();
        fs::write(run.vocabulary(), "one\t1\n").unwrap();
        let error = place.fails(&["evaluate", "squares-001"]);
        assert!(
            error.contains("vocabulary.txt: 5 words, but the model of"),
            "{error}"
        );
    }
}

mod ensembles {
    use super::*;

    #[test]
    fn a_run_with_itself_writes_what_it_writes_alone() {
        let place = Place::new(OPINIONATED);
        let (alone, twice) = (place.report(&[]), place.report(&["--ensemble", "squares-001"]));
        assert_eq!(alone.captions, twice.captions);
        assert_eq!(twice.subject.ensemble[0].to_string(), "squares-001/best");
        assert!(alone.subject.ensemble.is_empty());
    }

    #[test]
    fn an_evaluation_says_who_wrote_and_is_kept_beside_the_runs_own() {
        let place = Place::with_another_run(OPINIONATED);
        let alone = place.report(&[]);
        let printed = place.succeeds(&["evaluate", "squares-001", "--ensemble", "squares-002/best"]);
        assert!(
            printed.contains("best checkpoint with squares-002/best"),
            "{printed}"
        );
        let kept = place.succeeds(&["compare", "squares-001/dev-best-with-squares-002", "--json"]);
        let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
        assert_eq!(kept["evaluations"][0]["ensemble"][0]["run"], "squares-002");
        let together = place.report(&["--ensemble", "squares-002"]);
        assert_ne!(alone.captions, together.captions);
        assert_eq!(
            alone,
            place.report(&[]),
            "the run's own evaluation is its own still"
        );
    }

    #[test]
    fn any_image_gets_the_caption_that_the_ensemble_is_evaluated_with() {
        let place = Place::with_another_run(OPINIONATED);
        let report = place.report(&["--ensemble", "squares-002"]);
        let image = place
            .directory
            .path()
            .join("source")
            .join(&report.captions[5].image);
        let line = place.succeeds(&[
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
    fn runs_with_other_words_are_refused_by_name() {
        let place = Place::with_another_run(OPINIONATED);
        let other = place.root().find_run("squares-002").unwrap().vocabulary();
        let words = fs::read_to_string(&other).unwrap();
        fs::write(&other, words.replace("gray", "beige")).unwrap();
        for arguments in [
            &["evaluate", "squares-001"][..],
            &["caption", "squares-001", "x.png"],
        ] {
            let error = place.fails(&[arguments, &["--ensemble", "squares-002"]].concat());
            assert!(
                error.contains("run `squares-001` and run `squares-002` cannot form an ensemble"),
                "{error}"
            );
            assert!(
                error.contains(r#"is "gray" in the first vocabulary and "beige""#),
                "{error}"
            );
        }
        let error = place.fails(&["evaluate", "squares-001", "--ensemble", "squares-002/latest"]);
        assert!(error.contains("no such checkpoint yet"), "{error}");
    }
}

mod mbr {
    use super::*;

    const ON: [&str; 6] = ["--beam-size", "8", "--mbr-weight", "1", "--mbr-temperature", "5"];

    pub(super) fn write_ngrams(place: &Place) {
        let data_set = Dataset::load(&place.root().dataset_dir(&"squares".parse().unwrap())).unwrap();
        let encode = |image: &Image| {
            let captions = image.captions.iter();
            captions
                .map(|caption| data_set.vocabulary.encode(&caption.tokens))
                .collect()
        };
        let captions: Vec<Vec<Vec<u32>>> = data_set.images(Split::Train).map(encode).collect();
        DocumentFrequencies::of(captions.iter().map(Vec::as_slice))
            .write(&place.run_directory().ngrams())
            .unwrap();
    }

    #[test]
    fn captions_that_others_agree_with_are_chosen_wherever_captions_are_written() {
        let place = Place::new(OPINIONATED);
        write_ngrams(&place);
        let (plain, report) = (place.report(&["--beam-size", "8"]), place.report(&ON));
        assert_eq!(report.search.mbr_weight, 1.0);
        assert_ne!(plain.captions, report.captions);
        let image = place
            .directory
            .path()
            .join("source")
            .join(&report.captions[5].image);
        let line = place.succeeds(&[&["caption", "squares-001", text(&image)][..], &ON].concat());
        let (_, caption) = line.trim_end().split_once('\t').unwrap();
        assert_eq!(caption, report.captions[5].caption);
    }

    #[test]
    fn a_run_without_the_table_says_so_where_it_is_needed() {
        let place = Place::new(OPINIONATED);
        for arguments in [
            &["evaluate", "squares-001"][..],
            &["caption", "squares-001", "x.png"],
        ] {
            let error = place.fails(&[arguments, &ON].concat());
            assert!(
                error.contains("run `squares-001` has no document frequencies"),
                "{error}"
            );
        }
        fs::write(place.run_directory().ngrams(), "# 24 images, 1 n-grams\n99\t2\n").unwrap();
        let error = place.fails(&[&["evaluate", "squares-001"][..], &ON].concat());
        assert!(
            error.contains("ngrams.tsv, line 2: a token is not in the vocabulary"),
            "{error}"
        );
        place.report(&["--beam-size", "8"]);
    }
}

mod sweeps {
    use super::*;

    fn sweep(place: &Place, more: &[&str]) -> serde_json::Value {
        let arguments = [&["evaluate", "squares-001", "--tune-search", "--json"], more].concat();
        serde_json::from_str(&place.succeeds(&arguments)).unwrap()
    }

    #[test]
    fn settings_score_in_a_sweep_what_they_score_alone() {
        let place = Place::new(OPINIONATED);
        mbr::write_ngrams(&place);
        let report = sweep(&place, &["--metric", "bleu_4"]);
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
            let alone = place.report(&flags).figures.scores;
            for (metric, alone) in alone.iter() {
                assert!((tried[metric.key()].as_f64().unwrap() - alone).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn the_best_is_printed_as_the_flags_that_ask_for_it() {
        let place = Place::with_another_run(OPINIONATED);
        let arguments = [
            "evaluate",
            "squares-001",
            "--tune-search",
            "--ensemble",
            "squares-002",
            "--beam-size",
            "4",
        ];
        let output = place.cutline(&arguments);
        assert!(err(&output).contains("MBR is not tuned: "), "{}", err(&output));
        let printed = String::from_utf8(output.stdout).unwrap();
        let mut lines = printed.lines().skip_while(|line| !line.starts_with("the best"));
        let flags = lines.nth(1).unwrap();
        let flags: Vec<&str> = flags.split_whitespace().collect();
        let report = place.report(&[&["--ensemble", "squares-002"], &flags[..]].concat());
        let score = format!("{:.4}", report.figures.scores.score(Metric::CIDER_D));
        assert!(printed.lines().nth(1).unwrap().ends_with(&score), "{printed}");
        assert!(
            printed.contains("best checkpoint with squares-002/best"),
            "{printed}"
        );
    }

    #[test]
    fn what_a_beam_has_found_is_kept_where_the_next_one_is_broken_off() {
        let place = Place::new(OPINIONATED);
        let run = place.run_directory();
        let run = TrainedRun::open(&run, &run.best(), &Cpu::default()).unwrap();
        let directory = run.data_set_directory(&place.root()).unwrap();
        let data_set = Dataset::load(&directory).unwrap();
        let images: Vec<&Image> = data_set.images(Split::Dev).collect();
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
            let sweep = SearchTuner::new(&images, &run.vocabulary, None);
            sweep.run(
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
    fn a_row_is_called_the_runs_own_only_where_the_run_searches_so() {
        let place = Place::new(OPINIONATED);
        let printed = |flags: &[&str]| {
            place.succeeds(
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
    fn nothing_is_chosen_on_other_splits_than_dev() {
        let place = Place::new(OPINIONATED);
        let error = place.fails(&["evaluate", "squares-001", "--tune-search", "--split", "train"]);
        assert!(error.contains("it runs on the dev split only"), "{error}");
        let error = place.fails(&["evaluate", "squares-001", "--tune-search", "--seed", "3"]);
        assert!(
            error.contains("remove --temperature, --top-k and --seed"),
            "{error}"
        );
    }
}

mod caption {
    use super::*;

    #[test]
    fn an_image_of_the_data_set_gets_the_caption_that_it_is_evaluated_with() {
        let place = Place::new(OPINIONATED);
        let report = place.report(&[]);
        let images: Vec<PathBuf> = report
            .captions
            .iter()
            .map(|row| place.directory.path().join("source").join(&row.image))
            .collect();
        let arguments: Vec<&str> = ["caption", "squares-001", "--json"]
            .into_iter()
            .chain(images.iter().map(|image| text(image)))
            .collect();
        let lines = place.succeeds(&arguments);
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
    fn piped_it_is_a_path_a_tab_and_a_caption() {
        let place = Place::new(OPINIONATED);
        let image = place.image(3);
        let lines = place.succeeds(&["caption", "squares-001", text(&image), "--seed", "4"]);
        let (path, caption) = lines.trim_end().split_once('\t').unwrap();
        assert_eq!(path, text(&image));
        assert!(!caption.is_empty());
        let others = [text(&image), text(&place.image(5)), text(&image)].map(str::to_owned);
        let arguments = [
            "caption",
            "squares-001",
            &others[0],
            &others[1],
            &others[2],
            "--seed",
            "4",
        ];
        let together = place.succeeds(&arguments);
        let together: Vec<&str> = together.lines().collect();
        assert_eq!(
            [together[0], together[2]],
            [lines.trim_end(); 2],
            "whatever else is asked for"
        );
    }

    #[test]
    fn what_is_no_image_is_named_and_the_others_are_captioned() {
        let place = Place::new(OPINIONATED);
        let notes = place.directory.path().join("notes\u{1b}[2J.jpg");
        fs::write(&notes, "these are notes, not pixels\n").unwrap();
        let (one, other) = (place.image(0), place.image(1));
        let output = place.cutline(&["caption", "squares-001", text(&one), text(&notes), text(&other)]);
        assert_eq!(output.status.code(), Some(1));
        let lines = String::from_utf8(output.stdout.clone()).unwrap();
        let paths: Vec<&str> = lines
            .lines()
            .map(|line| line.split_once('\t').unwrap().0)
            .collect();
        assert_eq!(paths, [text(&one), text(&other)]);
        let error = err(&output);
        assert!(
            error.contains("[2J.jpg") && error.contains("not a picture"),
            "{error}"
        );
        assert!(error.contains("1 of 3 images could not be read"), "{error}");
        assert!(!error.contains('\u{1b}'));
    }

    #[test]
    fn references_follow_copies_and_not_names() {
        let place = Place::new(OPINIONATED);
        let elsewhere = TempDir::new().unwrap();
        let copy = elsewhere.path().join("0.png");
        let references = || {
            let line = place.succeeds(&["caption", "squares-001", "--json", text(&copy)]);
            serde_json::from_str::<serde_json::Value>(&line).unwrap()["references"].clone()
        };
        fs::copy(place.image(0), &copy).unwrap();
        assert_eq!(references()[0], "a red square on gray");
        fs::copy(place.image(1), &copy).unwrap();
        assert_eq!(
            references(),
            serde_json::Value::Null,
            "another image of the same name"
        );
    }
}
