//! The command line: help, exit codes, messages, pipes.

#![allow(clippy::unwrap_used)] // in helpers of tests, where a panic is the report

mod support;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use assert_cmd::Command;
use cutline::metrics::METRICS;
use support::{err, out, text};
use tempfile::TempDir;

const SUBCOMMANDS: [&str; 12] = [
    "demo",
    "prepare",
    "train",
    "evaluate",
    "compare",
    "caption",
    "features",
    "score",
    "show",
    "doctor",
    "fetch",
    "completions",
];

fn cutline(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("cutline").unwrap();
    command
        .env_remove("CUTLINE_ROOT")
        .env_remove("CUTLINE_DEVICE")
        .env_remove("CUTLINE_IMAGE_MEMORY")
        .env_remove("CUTLINE_JPEG")
        .env_remove("CUTLINE_METEOR")
        .env_remove("NO_COLOR")
        .args(arguments);
    command
}

#[track_caller]
fn fails_with(arguments: &[&str], code: i32) -> String {
    let output = cutline(arguments);
    let error = err(&output);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert_eq!(out(&output), "", "a failure prints nothing to standard output");
    error
}

fn write(directory: &TempDir, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, contents).unwrap();
    path
}

fn image(directory: &TempDir, name: &str) -> PathBuf {
    let path = directory.path().join(name);
    let pixels = image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([x as u8 * 4, y as u8 * 5, 90]));
    pixels.save(&path).unwrap();
    path
}

mod device {
    use super::*;

    #[test]
    fn unknown_device_exits_with_2_and_lists_devices() {
        let error = fails_with(&["doctor", "--device", "gpu"], 2);
        assert!(
            error.contains("`gpu` is no device") && error.contains("cuda:N"),
            "{error}"
        );
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn gpu_without_cuda_build_is_rejected_before_work() {
        let directory = tempfile::tempdir().unwrap();
        let root = ["--root", text(directory.path())];
        for command in [
            vec!["demo", "--headless", "--device", "cuda"],
            vec!["train", "--resume", "nothing", "--device", "cuda:1"],
        ] {
            let error = fails_with(&[command, root.to_vec()].concat(), 1);
            assert!(
                error.contains("built without CUDA") && error.contains("--features cuda"),
                "{error}"
            );
        }
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            0,
            "nothing was written"
        );
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn device_flag_precedes_environment() {
        let run_with = |device, arguments: &[&str]| {
            let output = command(arguments).env("CUTLINE_DEVICE", device).output().unwrap();
            (output.status.code(), out(&output))
        };
        let run = |arguments| run_with("cuda:0", arguments);
        let (code, printed) = run(&["doctor"]);
        assert_eq!(code, Some(1));
        assert!(
            printed.contains("problem") && printed.contains("built without CUDA"),
            "{printed}"
        );
        assert_eq!(run(&["doctor", "--device", "cpu"]).0, Some(0));
        assert_eq!(
            run_with("", &["doctor"]).0,
            Some(0),
            "nothing is no word on the device"
        );
    }

    #[test]
    fn doctor_prints_a_verdict_per_check() {
        let output = cutline(&["doctor", "--device", "cpu"]);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        let printed = out(&output);
        for subject in [
            "program", "driver", "device", "threads", "memory", "images", "colors",
        ] {
            let line = printed.lines().find(|line| line.contains(subject)).unwrap();
            assert!(line.starts_with("ok") || line.starts_with("note"), "{line}");
        }
        assert!(printed.contains("cpu"), "{printed}");
    }

    #[test]
    fn doctor_json_has_all_fields() {
        let output = cutline(&["doctor", "--device", "cpu", "--json"]);
        let findings: Vec<serde_json::Value> = serde_json::from_str(&out(&output)).unwrap();
        let device = findings
            .iter()
            .find(|found| found["subject"] == "device")
            .unwrap();
        assert_eq!(
            (&device["verdict"], &device["facts"]["name"]),
            (&"ok".into(), &"cpu".into())
        );
    }
}

mod help {
    use super::*;

    #[test]
    fn program_without_arguments_prints_help() {
        let output = cutline(&[]);
        assert_eq!(output.status.code(), Some(0));
        for subcommand in SUBCOMMANDS {
            assert!(
                out(&output).contains(&format!("\n  {subcommand} ")),
                "{subcommand}"
            );
        }
    }

    #[test]
    fn subcommand_help_has_examples() {
        for subcommand in SUBCOMMANDS {
            let output = cutline(&[subcommand, "--help"]);
            assert_eq!(output.status.code(), Some(0), "{subcommand}");
            assert!(
                out(&output).contains(&format!("Usage: cutline {subcommand}")),
                "{subcommand}"
            );
            assert!(out(&output).contains("Examples:\n  cutline "), "{subcommand}");
        }
    }

    #[test]
    fn long_help_lists_exit_codes() {
        let help = out(&cutline(&["--help"]));
        for line in [
            "  0    done",
            "  1    failed",
            "  2    wrong command line",
            "  130  interrupted",
        ] {
            assert!(help.contains(line), "{line}");
        }
    }

    #[test]
    fn version_equals_manifest() {
        assert_eq!(
            out(&cutline(&["--version"])),
            format!("cutline {}\n", env!("CARGO_PKG_VERSION"))
        );
    }
}

mod usage {
    use super::*;

    #[test]
    fn unknown_flag_exits_with_2() {
        assert!(fails_with(&["show", "--color", "image.jpg"], 2).contains("--color"));
        assert!(fails_with(&["shwo"], 2).contains("show"));
    }

    #[test]
    fn name_outside_root_is_rejected() {
        let error = fails_with(&["prepare", "scenes", "--name", "../elsewhere"], 2);
        assert!(error.contains("`../elsewhere` is not a name"), "{error}");
    }

    #[test]
    fn setting_without_value_is_rejected() {
        let error = fails_with(&["train", "scenes", "--set", "seed"], 2);
        assert!(error.contains("write key=value"), "{error}");
    }
}

mod show {
    use super::*;

    #[test]
    fn piped_show_prints_one_line() {
        let directory = TempDir::new().unwrap();
        for (name, format) in [
            ("a.png", "PNG"),
            ("a.jpg", "JPEG"),
            ("a.gif", "GIF"),
            ("a.webp", "WebP"),
        ] {
            let image = image(&directory, name);
            let output = cutline(&["show", text(&image)]);
            assert_eq!(out(&output), format!("{}: 64 x 48, {format}\n", text(&image)));
            assert_eq!((output.status.code(), err(&output)), (Some(0), String::new()));
        }
    }

    #[test]
    fn file_name_with_escapes_is_printed_safely() {
        let directory = TempDir::new().unwrap();
        let image = image(&directory, "a\u{1b}[2J\u{202e}.png");
        let shown = out(&cutline(&["show", text(&image)]));
        assert!(
            shown.ends_with("a\u{fffd}[2J\u{fffd}.png: 64 x 48, PNG\n"),
            "{shown:?}"
        );
        std::fs::write(&image, "").unwrap();
        let error = fails_with(&["show", text(&image)], 1);
        assert!(!error.chars().any(|c| c != '\n' && c.is_control()), "{error:?}");
    }

    #[test]
    fn unreadable_image_error_has_the_reason() {
        let directory = TempDir::new().unwrap();
        let whole = std::fs::read(image(&directory, "whole.jpg")).unwrap();
        let cases = [
            (
                write(&directory, "notes.jpg", "these are notes, not pixels\n"),
                "not an image",
            ),
            (write(&directory, "empty.jpg", ""), "empty"),
            (
                write(&directory, "torn.jpg", &whole[..whole.len() / 2]),
                "cut short",
            ),
            (directory.path().join("missing.jpg"), "does not exist"),
            (directory.path().to_owned(), "not a regular file"),
        ];
        for (path, reason) in cases {
            let error = fails_with(&["show", text(&path)], 1);
            assert!(error.starts_with("error: "), "{error}");
            assert!(error.contains(text(&path)) && error.contains(reason), "{error}");
        }
    }
}

mod score {
    use super::*;

    const REFERENCES: &str =
        r#"{"1": ["a dog runs on the grass", "a brown dog runs"], "2": ["two red cars stand still"]}"#;
    const HYPOTHESES: &str = r#"{"2": "two red cars", "1": "a dog runs on the sand"}"#;

    fn score(references: &str, hypotheses: &str, more: &[&str]) -> Output {
        let directory = TempDir::new().unwrap();
        let references = write(&directory, "references.json", references);
        let hypotheses = write(&directory, "hypotheses.json", hypotheses);
        let files = [
            "score",
            "--references",
            text(&references),
            "--hypotheses",
            text(&hypotheses),
        ];
        cutline(&[&files, more].concat())
    }

    #[track_caller]
    fn rejected(references: &str, hypotheses: &str) -> String {
        let output = score(references, hypotheses, &[]);
        assert_eq!(output.status.code(), Some(1), "{}", out(&output));
        err(&output)
    }

    #[test]
    fn score_prints_table_with_intervals() {
        let output = score(REFERENCES, HYPOTHESES, &[]);
        let table = out(&output);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "metric    score     95 % interval");
        // 8 of 9 words match, and the closest references have 6 and 5 words.
        let expected = 8.0 / 9.0 * (1.0_f64 - 11.0 / 9.0).exp();
        assert!(
            lines[1].starts_with(&format!("BLEU-1   {expected:.4}  ")),
            "{}",
            lines[1]
        );
        assert_eq!(lines.len(), METRICS.len() + 3, "{table}");
        assert_eq!(lines[METRICS.len() + 1], "2 images");
        let signature = "signature: BLEU+ROUGE-L+CIDEr-D|nrefs:1-2|images:2|split:";
        assert!(lines[METRICS.len() + 2].starts_with(signature), "{table}");
    }

    #[test]
    fn score_json_is_reproducible() {
        let first = score(REFERENCES, HYPOTHESES, &["--json"]);
        let json: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
        assert_eq!(json["images"], 2);
        let bleu_1 = json["bleu_1"].as_f64().unwrap();
        assert!(
            (bleu_1 - 8.0 / 9.0 * (1.0_f64 - 11.0 / 9.0).exp()).abs() < 1e-6,
            "{bleu_1}"
        );
        let interval = &json["intervals_95"]["bleu_1"];
        assert!(interval["low"].as_f64().unwrap() <= bleu_1 && bleu_1 <= interval["high"].as_f64().unwrap());
        assert_eq!(first.stdout, score(REFERENCES, HYPOTHESES, &["--json"]).stdout);
    }

    #[test]
    fn captions_are_tokenized_by_flag() {
        let references = r#"{"1": ["a dog runs on sand"]}"#;
        let json = |hypothesis: &str, more: &[&str]| {
            let hypotheses = serde_json::json!({"1": hypothesis}).to_string();
            let output = score(references, &hypotheses, &[&["--json"], more].concat());
            serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
        };
        let bleu_4 = |hypothesis, more: &[&str]| json(hypothesis, more)["bleu_4"].as_f64().unwrap();
        let punctuated = "A dog runs, on sand!";
        assert!((bleu_4(punctuated, &[]) - 1.0).abs() < 1e-6);
        assert!((bleu_4(punctuated, &["--clean"]) - 1.0).abs() < 1e-6);
        assert!(bleu_4(punctuated, &["--tokenizer", "words"]) < 0.01);
        // The PTB tokenizer splits contractions, cleaning does not.
        assert!((bleu_4("a dog's run on sand", &[]) - bleu_4("a dog 's run on sand", &[])).abs() < 1e-12);
        for (flags, tokenizer) in [
            (&[][..], "|tok:ptb|"),
            (&["--tokenizer", "icu"], "|tok:icu|"),
            (&["--clean"], "|tok:words+lowercase-punctuation-symbols-digits|"),
        ] {
            let signature = json(punctuated, flags)["signature"].to_string();
            assert!(signature.contains(tokenizer), "{signature}");
        }
        let refused = score(references, r#"{"1": "a"}"#, &["--tokenizer", "ptb", "--clean"]);
        assert!(
            err(&refused).contains("remove it, or choose --tokenizer words"),
            "{}",
            err(&refused)
        );
    }

    #[test]
    fn missing_captions_are_empty_and_listed() {
        let hypotheses =
            "{\"image_id\": 1.0, \"caption\": NaN}\n{\"image_id\": \"2\", \"caption\": \"two red cars\"}\n";
        let output = score(REFERENCES, hypotheses, &["--json"]);
        let notices = err(&output);
        assert!(
            notices.contains("1 of 2 ids have an empty hypothesis, which scores 0 (1)"),
            "{notices}"
        );
        let alone = score(REFERENCES, r#"{"1": "", "2": "two red cars"}"#, &["--json"]);
        assert_eq!(out(&output), out(&alone));
    }

    #[test]
    fn subset_rejects_hypotheses_without_references() {
        let output = score(REFERENCES, r#"{"1": "a dog", "9": "a cat"}"#, &["--subset"]);
        let error = err(&output);
        assert!(
            error.contains("1 of 2 ids with a hypothesis have no references (9); remove these hypotheses"),
            "{error}"
        );
        assert!(
            score(REFERENCES, r#"{"1": "a dog"}"#, &["--subset"])
                .status
                .success()
        );
    }

    /// Each kind of token whose rule reads on to the end of the text, many times over.
    #[test]
    fn long_captions_of_unfinished_tokens_are_scored() {
        for part in ["<!a", "a@ ", "<a b='", "(1", "A.b-", "www.a,", "u.s. <"] {
            let caption = part.repeat(200_000 / part.len());
            let hypotheses = serde_json::json!({"1": "a dog", "2": caption}).to_string();
            let output = score(REFERENCES, &hypotheses, &["--json"]);
            assert!(output.status.success(), "{part}: {}", err(&output));
        }
    }

    #[test]
    fn unmatched_ids_are_counted_and_listed() {
        let hypotheses = r#"{"1": "a", "7": "a", "8": "a"}"#;
        let error = rejected(REFERENCES, hypotheses);
        assert!(
            error.contains("1 of 2 ids with references have no hypothesis (2)"),
            "{error}"
        );
        assert!(
            error.contains("2 of 3 ids with a hypothesis have no references (7, 8)"),
            "{error}"
        );
        let error = rejected(r#"{"1": []}"#, r#"{"1": "a"}"#);
        assert!(
            error.contains("1 of 1 ids with a hypothesis have no references (1)"),
            "{error}"
        );
        assert!(rejected("{}", "{}").contains("nothing to score"));
    }

    #[test]
    fn texts_tables_and_names_of_images_are_scored() {
        // The signature also depends on the ids.
        let scores = |output: &Output| {
            let mut report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            report.as_object_mut().unwrap().remove("signature");
            report
        };
        let expected = scores(&score(REFERENCES, HYPOTHESES, &["--json"]));
        let directory = TempDir::new().unwrap();
        for (name, content) in [
            (
                "references.token",
                "1.jpg#0\ta dog runs on the grass\n1.jpg#1\ta brown dog runs\n2.jpg#0\ttwo red cars stand still\n",
            ),
            (
                "hypotheses.tsv",
                "photos/2.png\ttwo red cars\nCOCO_val2014_000000000001.jpg\ta dog runs on the sand\n",
            ),
            ("texts/1.txt", "a dog runs on the sand\n"),
            (
                "texts/2.json",
                r#"{"image": "x.jpg", "caption": "two red cars", "references": ["two"]}"#,
            ),
            (
                "table.csv",
                "image,caption\n1.jpg,\"a dog runs on the grass\"\n1.jpg,a brown dog runs\n2.jpg,two red cars stand still\n",
            ),
        ] {
            std::fs::create_dir_all(directory.path().join("texts")).unwrap();
            write(&directory, name, content);
        }
        let path = |name: &str| text(&directory.path().join(name)).to_owned();
        let files = [
            ("references.token", "hypotheses.tsv"),
            ("table.csv", "texts"),
            ("references.token", "texts/"),
        ];
        for (references, hypotheses) in files {
            let (references, hypotheses) = (path(references), path(hypotheses));
            let output = cutline(&[
                "score",
                "--references",
                &references,
                "--hypotheses",
                &hypotheses,
                "--json",
            ]);
            assert_eq!(scores(&output), expected, "{}", err(&output));
        }
        let references = path("references.token");
        let mut command = command(&[
            "score",
            "--references",
            &references,
            "--hypotheses",
            "-",
            "--json",
        ]);
        let output = command
            .pipe_stdin(path("hypotheses.tsv"))
            .unwrap()
            .output()
            .unwrap();
        assert_eq!(scores(&output), expected, "{}", err(&output));
        let error = fails_with(&["score", "--references", "-", "--hypotheses", "-"], 1);
        assert!(
            error.contains("either the references or the hypotheses"),
            "{error}"
        );
    }

    #[test]
    fn invalid_file_error_shows_the_format() {
        for (references, hypotheses, reason) in [
            ("[1]", HYPOTHESES, "references.json is not captions by id"),
            (REFERENCES, REFERENCES, "hypotheses.json is not captions by id"),
            (REFERENCES, r#"{"1": "a", "1": "b"}"#, "the id `1` appears twice"),
            (
                r#"{"1": ["a"#,
                HYPOTHESES,
                "references.json is not captions by id",
            ),
        ] {
            let error = rejected(references, hypotheses);
            assert!(error.contains(reason), "{error}");
            assert!(
                error.contains("\nhint: ") && error.contains("look like {\"image-1\": "),
                "{error}"
            );
        }
        let error = fails_with(
            &[
                "score",
                "--references",
                "no-such.json",
                "--hypotheses",
                "no-such.json",
            ],
            1,
        );
        assert!(error.contains("cannot read no-such.json"), "{error}");
    }
}

mod compare {
    use super::*;
    use serde_json::json;

    /// A different caption for each image.
    const RIGHT: fn(usize) -> String = |number| format!("a thing{number} lies on the place{number} today");
    const SAME: fn(usize) -> String = |_| RIGHT(1);

    /// Writes the report of an evaluation to a run, with a former name of the run.
    fn evaluated(root: &Path, run: &str, evaluation: &str, images: usize, caption: fn(usize) -> String) {
        let scores = json!({"bleu_1": 0.0, "bleu_2": 0.0, "bleu_3": 0.0, "bleu_4": 0.0, "rouge_l": 0.0, "cider_d": 0.0});
        let with_scores = |mut value: serde_json::Value| {
            value
                .as_object_mut()
                .unwrap()
                .extend(scores.as_object().unwrap().clone());
            value
        };
        let image = |number: usize| {
            with_scores(json!({
                "image": format!("{number}.png"),
                "caption": caption(number),
                "log_probability": -1.0,
                "references": [RIGHT(number)],
            }))
        };
        let zero = json!({"low": 0.0, "high": 0.0});
        let report = with_scores(json!({
            "run": "its former name", "checkpoint": "best", "dataset": "things", "data_hash": "", "split": "dev",
            "search": {},
            "images": images,
            "intervals_95": {"bleu_4": zero},
            "diversity": {
                "captions": 0, "most_common_caption": "", "most_common_fraction": 0.0, "distinct_captions": 0,
                "novel_captions": 0, "words_used": 0, "vocabulary_words": 0, "unknown_words": 0,
                "mean_length": 0.0, "mean_reference_length": 0.0,
            },
            "shuffled": {"scores": scores, "kept": scores},
            "evidence": {
                "encoder": "pretrained", "feature_similarity": null,
                "token_log_probability": -1.0, "uniform_log_probability": -5.0,
            },
            "diagnosis": null,
            "captions": (0..images).map(image).collect::<Vec<_>>(),
        }));
        let run = root.join("checkpoints").join(run);
        let evaluation = run.join("evaluations").join(evaluation);
        std::fs::create_dir_all(&evaluation).unwrap();
        std::fs::write(run.join("config.toml"), "").unwrap();
        std::fs::write(evaluation.join("report.json"), report.to_string()).unwrap();
    }

    fn root() -> TempDir {
        let directory = TempDir::new().unwrap();
        evaluated(directory.path(), "good", "dev-best", 30, RIGHT);
        evaluated(directory.path(), "bad", "dev-best", 30, SAME);
        evaluated(directory.path(), "bad", "few", 20, SAME);
        directory
    }

    fn compare(root: &TempDir, arguments: &[&str]) -> Output {
        cutline(&[&["--root", text(root.path()), "compare"], arguments].concat())
    }

    #[test]
    fn significant_difference_is_marked_and_unpaired_report_named() {
        let root = root();
        let output = compare(&root, &["good", "bad", "bad/few"]);
        let table = out(&output);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        let row = |begin: &str| table.lines().find(|line| line.starts_with(begin)).unwrap();
        assert!(row("good/dev-best").contains(" 1.0000 "), "{table}");
        assert_eq!(row("  difference").matches('*').count(), METRICS.len(), "{table}");
        assert_eq!(table.matches("  difference").count(), 1, "{table}");
        assert!(row("* differs from good/dev-best by more than noise").contains("p < 0.05"));
        let reason = row("`bad/few` (dev split of things) cannot be paired with");
        assert!(reason.contains("10 in the second only"), "{reason}");
    }

    #[test]
    fn baseline_flag_chooses_and_runs_have_current_names() {
        let root = root();
        let output = compare(&root, &["good", "bad", "--baseline", "bad", "--json"]);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let evaluations = &json["evaluations"];
        assert_eq!(evaluations.as_array().unwrap().len(), 2);
        assert_eq!(evaluations[0]["run"], "bad");
        assert_eq!(evaluations[0]["against"]["kind"], "baseline");
        assert!(evaluations[1]["against"]["rouge_l"]["observed"].as_f64().unwrap() > 0.2);
    }

    #[test]
    fn latex_table_is_written_to_file() {
        let root = root();
        let file = root.path().join("table.tex");
        let output = compare(&root, &["good", "bad", "--format", "latex", "--out", text(&file)]);
        assert_eq!((output.status.code(), out(&output)), (Some(0), String::new()));
        let table = std::fs::read_to_string(&file).unwrap();
        assert!(table.contains("\ngood/dev-best & 100.0 & "), "{table}");
    }

    #[test]
    fn missing_report_error_has_the_command() {
        let root = root();
        let error = err(&compare(&root, &["good", "good/test-best"]));
        assert!(error.contains("cutline evaluate good --split test"), "{error}");
    }
}

mod completions {
    use super::*;

    #[test]
    fn completion_scripts_have_all_subcommands() {
        for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
            let script = out(&cutline(&["completions", shell]));
            for subcommand in SUBCOMMANDS {
                assert!(script.contains(subcommand), "{shell}: {subcommand}");
            }
        }
    }
}

mod streams {
    use super::*;

    fn has_escapes(output: &Output) -> bool {
        output.stdout.contains(&0x1b) || output.stderr.contains(&0x1b)
    }

    #[test]
    fn piped_output_has_no_escapes_unless_forced() {
        let failing = ["show", "no-such-image.jpg"];
        assert!(!has_escapes(&cutline(&failing)));
        assert!(!has_escapes(&cutline(&["--help"])));
        assert!(!has_escapes(
            &command(&failing).env("NO_COLOR", "1").output().unwrap()
        ));
        assert!(!has_escapes(
            &command(&["--help"]).env("NO_COLOR", "1").output().unwrap()
        ));
        assert!(has_escapes(&cutline(&[
            "--color", "always", failing[0], failing[1]
        ])));
        assert!(has_escapes(&cutline(&["--help", "--color=always"])));
    }

    #[test]
    fn closed_pipe_exits_silently() {
        for arguments in [&["completions", "bash"][..], &["--help"], &[]] {
            let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_cutline"))
                .args(arguments)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            drop(child.stdout.take());
            let output = child.wait_with_output().unwrap();
            assert_eq!(
                (output.status.code(), err(&output)),
                (Some(0), String::new()),
                "{arguments:?}"
            );
        }
    }
}

#[test]
fn wrong_image_variables_are_named_with_their_choices() {
    for (variable, wrong, choices) in [
        ("CUTLINE_JPEG", "mozjpeg", ["turbo", "zune"]),
        ("CUTLINE_IMAGE_MEMORY", "lots", ["bytes", "512M"]),
    ] {
        let output = command(&["keys"]).env(variable, wrong).output().unwrap();
        let error = err(&output);
        assert_eq!(output.status.code(), Some(1), "{error}");
        for part in [variable, wrong, choices[0], choices[1]] {
            assert!(error.contains(part), "{error}");
        }
    }
}

#[test]
fn image_beyond_the_budget_is_rejected_with_both_numbers() {
    let directory = TempDir::new().unwrap();
    let path = image(&directory, "a.png");
    let show = |budget: &str| {
        let mut command = command(&["show", text(&path)]);
        command.env("CUTLINE_IMAGE_MEMORY", budget).output().unwrap()
    };
    let error = err(&show("1M"));
    // 64 x 48 pixels, their RGB form, and the metadata that a PNG may have.
    for part in ["CUTLINE_IMAGE_MEMORY", "1048576 for all images", "16786432 bytes"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(show("1G").status.code(), Some(0));
}
