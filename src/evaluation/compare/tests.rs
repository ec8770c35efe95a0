//! Tests of comparisons on synthetic reports.

use super::export::{latex_escaped, markdown_escaped};
use super::*;
use crate::evaluation::tests::{HEALTHY, report_on, report_on_images, right, same};
use crate::evaluation::{Mismatch, Report};
use crate::metrics::{METRICS, Metric};
use proptest::prelude::*;

fn named(name: &str, report: Report) -> NamedReport {
    NamedReport {
        name: name.into(),
        report,
    }
}

/// Every fourth image gets the caption of another one.
fn mostly_right(number: usize) -> String {
    if number.is_multiple_of(4) {
        same(number)
    } else {
        right(number)
    }
}

fn three() -> Comparison {
    Comparison::new(
        &named("good/dev-best", report_on(mostly_right, HEALTHY)),
        [
            &named("bad_one/dev-best", report_on(same, HEALTHY)),
            &named("fewer/dev-best", report_on_images(30, right, HEALTHY)),
        ],
    )
}

#[test]
fn comparison_scores_equal_those_of_the_report() {
    let report = report_on(mostly_right, HEALTHY);
    let comparison = Comparison::new(&named("it", report.clone()), []);
    let [one] = &comparison.evaluations[..] else {
        panic!("{comparison:?}")
    };
    assert_eq!(one.scores, report.summary.scores);
    assert_eq!(one.intervals_95, report.summary.intervals_95);
    assert_eq!((one.images, &one.against), (40, &Against::Baseline));
}

#[test]
fn worse_model_differs_significantly_and_the_same_one_does_not() {
    let good = named("good", report_on(mostly_right, HEALTHY));
    let bad = named("bad", report_on(same, HEALTHY));
    let comparison = Comparison::new(&good, [&bad, &good]);
    let bad = comparison.evaluations[1].differences().unwrap();
    let again = comparison.evaluations[2].differences().unwrap();
    for metric in Metric::all() {
        let (difference, again) = (bad.get(metric).unwrap(), again.get(metric).unwrap());
        assert!(
            difference.observed < 0.0 && difference.is_significant(),
            "{metric:?}: {difference:?}"
        );
        assert_eq!((again.observed, again.p_value), (0.0, 1.0));
        assert!(!again.is_significant());
    }
    let meaning = comparison.meaning_of_mark().unwrap();
    assert!(
        meaning.starts_with("differs from good by more than noise"),
        "{meaning}"
    );
    assert_eq!(Comparison::new(&good, [&good]).meaning_of_mark(), None);
}

#[test]
fn images_are_paired_by_key_in_any_order() {
    let good = named("good", report_on(mostly_right, HEALTHY));
    let bad = named("bad", report_on(same, HEALTHY));
    let mut turned = bad.clone();
    turned.report.captions.reverse();
    let against = |other| {
        Comparison::new(&good, [other]).evaluations[1]
            .differences()
            .unwrap()
    };
    let (straight, turned) = (against(&bad), against(&turned));
    for metric in Metric::all() {
        let (straight, turned) = (straight.get(metric).unwrap(), turned.get(metric).unwrap());
        assert!((straight.observed - turned.observed).abs() < 1e-12);
        assert!((straight.p_value - turned.p_value).abs() < 1e-12);
    }
}

#[test]
fn different_images_or_references_are_not_compared() {
    let good = named("good", report_on(right, HEALTHY));
    let mut other_references = named("other", good.report.clone());
    other_references.report.captions[3].references.pop();
    let mut twice = named("twice", good.report.clone());
    twice.report.captions[3].image = "4.png".into();
    let fewer = named("fewer", report_on_images(30, right, HEALTHY));
    for (other, why) in [
        (
            fewer,
            Mismatch::Images {
                only_ours: 0,
                only_theirs: 10,
            },
        ),
        (
            other_references,
            Mismatch::References {
                image: "3.png".into(),
                others: 0,
            },
        ),
        (
            twice,
            Mismatch::Images {
                only_ours: 1,
                only_theirs: 1,
            },
        ),
    ] {
        let comparison = Comparison::new(&good, [&other]);
        let one = &comparison.evaluations[1];
        assert!(
            matches!(&one.against, Against::Unpaired(unpaired) if unpaired.why == why),
            "{:?}",
            one.against
        );
        assert_eq!(one.differences(), None);
        let reasons = comparison.unpaired();
        assert!(
            reasons[0].contains(&format!("`{}` (dev split of things)", other.name))
                && reasons[0].contains("`good` (dev split of things)"),
            "{reasons:?}"
        );
    }
}

#[test]
fn common_subject_is_described_once() {
    let good = named("good", report_on(right, HEALTHY));
    let same_subject = Comparison::new(&good, [&named("bad", report_on(same, HEALTHY))]);
    assert_eq!(
        same_subject.subjects(),
        ["40 images of things, dev split; best checkpoint; beam 3"]
    );
    assert_eq!(
        three().subjects()[2],
        "fewer/dev-best: 30 images of things, dev split; best checkpoint; beam 3"
    );
}

#[test]
fn csv_export_has_all_values() {
    let comparison = three();
    let csv = comparison.export(ExportFormat::Csv).unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let heading = reader.headers().unwrap().clone();
    let column = |name: &str| heading.iter().position(|found| found == name).unwrap();
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), 3 * METRICS.len());
    let number = |record: &csv::StringRecord, name: &str| record[column(name)].parse::<f64>().unwrap();
    let rows = comparison
        .evaluations
        .iter()
        .flat_map(|one| Metric::all().map(move |metric| (one, metric)));
    for (record, (one, metric)) in records.iter().zip(rows) {
        assert_eq!(&record[column("evaluation")], one.name);
        assert_eq!(&record[column("metric")], metric.label());
        assert_eq!(number(record, "score"), one.scores.score(metric));
        assert_eq!(
            number(record, "low_95"),
            one.intervals_95.get(metric).unwrap().low
        );
        match one.differences() {
            Some(differences) => {
                let difference = differences.get(metric).unwrap();
                assert_eq!(number(record, "difference"), difference.observed);
                assert_eq!(number(record, "p_value"), difference.p_value);
            }
            None => assert_eq!(&record[column("difference")], ""),
        }
    }
}

#[test]
fn json_export_compares_with_the_baseline() {
    let json: serde_json::Value = serde_json::from_str(&three().export(ExportFormat::Json).unwrap()).unwrap();
    let kinds: Vec<&str> = (0..3)
        .map(|at| json["evaluations"][at]["against"]["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["baseline", "difference", "unpaired"]);
    let bad = &json["evaluations"][1];
    assert_eq!(bad["run"], "run");
    assert!(bad["against"]["cider_d"]["p_value"].as_f64().unwrap() < 0.05);
    assert_eq!(json["evaluations"][2]["against"]["why"]["only_theirs"], 10);
}

#[test]
fn markdown_export_has_percentages_and_notes() {
    let text = three().export(ExportFormat::Markdown).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let heading = "| evaluation | BLEU-1 | BLEU-2 | BLEU-3 | BLEU-4 | ROUGE-L | CIDEr-D |";
    assert!(lines[0].starts_with(heading), "{}", lines[0]);
    for row in &lines[2..5] {
        assert_eq!(row.matches('|').count(), METRICS.len() + 2, "{row}");
    }
    let good = three().evaluations[0].scores.score(Metric::BLEU_1) * 100.0;
    assert!(
        lines[2].starts_with(&format!("| good/dev-best | {good:.1} |")),
        "{}",
        lines[2]
    );
    assert!(lines[3].starts_with("| bad\\_one/dev-best | "), "{}", lines[3]);
    assert_eq!(lines[3].matches("\\*").count(), METRICS.len(), "{}", lines[3]);
    assert!(
        lines[4].starts_with("| fewer/dev-best† | 100.0 |"),
        "{}",
        lines[4]
    );
    for note in [
        "Scores times 100.",
        "\\* differs from good/dev-best by more than noise (paired bootstrap over the images, p \\< 0.05).",
    ] {
        assert!(lines.contains(&note), "{text}");
    }
    assert!(lines.iter().any(|line| line.starts_with("† ")), "{text}");
}

#[test]
fn latex_export_is_a_booktabs_tabular() {
    let text = three().export(ExportFormat::Latex).unwrap();
    let begin = text.find("\\begin{tabular}{lrrrrrr").unwrap();
    let order = [
        "\\toprule",
        "\\midrule",
        "\\bottomrule",
        "\\end{tabular}",
        "Scores times 100.",
    ];
    let positions: Vec<usize> = order
        .iter()
        .map(|part| begin + text[begin..].find(part).unwrap())
        .collect();
    assert!(positions.is_sorted(), "{text}");
    assert!(text.contains("\nbad\\_one/dev-best & "), "{text}");
    let row = text.lines().find(|line| line.starts_with("bad")).unwrap();
    assert_eq!(
        (row.matches(" & ").count(), row.matches("$^{*}$").count()),
        (METRICS.len(), METRICS.len())
    );
    assert!(row.ends_with(" \\\\"), "{row}");
    assert!(text.contains("fewer/dev-best$^{\\dagger}$ & 100.0"), "{text}");
}

/// The text without escapes of special characters.
fn without_latex_escapes(text: &str) -> String {
    let commands = [
        "\\textbackslash{}",
        "\\textasciitilde{}",
        "\\textasciicircum{}",
        "\\textless{}",
        "\\textgreater{}",
        "$^{\\dagger}$",
    ];
    let simple = ["\\&", "\\%", "\\$", "\\#", "\\_", "\\{", "\\}"];
    commands
        .iter()
        .chain(&simple)
        .fold(text.to_owned(), |text, escape| text.replace(escape, ""))
}

proptest! {
    #[test]
    fn names_are_escaped_in_cells(name in "[ -~†]{0,30}") {
        let bare = without_latex_escapes(&latex_escaped(&name));
        prop_assert!(!bare.contains(['\\', '&', '%', '$', '#', '_', '{', '}', '~', '^']), "{bare}");
        let markdown = markdown_escaped(&name);
        let bare = markdown.replace("\\\\", "").replace("\\|", "");
        prop_assert!(!bare.contains('|'), "{markdown}");
        let back = markdown.split("\\\\").map(|part| part.replace('\\', "")).collect::<Vec<_>>();
        prop_assert_eq!(back.join("\\"), name);
    }
}
