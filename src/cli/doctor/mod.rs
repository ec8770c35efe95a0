//! `cutline doctor`: checks the machine and the program, with a verdict and advice for each check.

mod caches;
mod gpu;

use std::fmt::Write as _;
use std::thread;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use super::terminal::{Paint, Role, display_safe};
use super::{Context, json as json_text, workbench};
use crate::nn::device::{
    CPU, ChosenDevice, DeviceChoice, DeviceError, DeviceErrorKind, HAS_CUDA, MatmulPrecision, guarded,
};
use crate::tui::theme::Pixels;

/// Free bytes below which memory may run out.
const LOW_MEMORY: u64 = 1_000_000_000;

/// Check this machine and this program, with advice on problems
///
/// One line per check: the build, the NVIDIA driver, each GPU, the device of --device, threads, memory, images and
/// colors of the terminal, and what each cache of `cutline fetch` has. `note` means that something could be better, `problem` that the program cannot do what was
/// requested; the exit code is 1 if there is a problem.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline doctor
  cutline doctor --device cuda:1
  cutline doctor --json | jq '.[] | select(.verdict == \"problem\")'")]
pub(super) struct Doctor {
    /// Print JSON: an array of objects with `subject`, `verdict`, `found`, `facts` and, if any, `advice`
    #[arg(long)]
    json: bool,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Finding {
    subject: String,
    verdict: Verdict,
    /// The result in words.
    found: String,
    /// The result as numbers.
    facts: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
enum Verdict {
    Ok,
    /// It could be better.
    Note,
    /// It prevents what was requested.
    Problem,
}

impl Verdict {
    fn role(self) -> Role {
        match self {
            Self::Ok => Role::Success,
            Self::Note => Role::Warning,
            Self::Problem => Role::Failure,
        }
    }
}

impl Finding {
    fn ok(subject: &str, found: impl Into<String>, facts: Value) -> Self {
        Self {
            subject: subject.to_owned(),
            verdict: Verdict::Ok,
            found: found.into(),
            facts,
            advice: None,
        }
    }

    /// The same result with another verdict.
    fn but(mut self, verdict: Verdict, advice: impl Into<String>) -> Self {
        (self.verdict, self.advice) = (verdict, Some(advice.into()));
        self
    }
}

impl Doctor {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let gpus = gpu::query();
        let mut findings = vec![program(), gpu::driver(&gpus)];
        findings.extend(gpu::each(&gpus));
        let opened = ChosenDevice::open(context.device);
        findings.extend(kernels(&opened));
        findings.push(device(context.device, opened));
        findings.extend(HAS_CUDA.then(|| products(MatmulPrecision::from_environment())));
        findings.extend([threads(), memory(), images(context), colors(context)]);
        findings.extend(caches::each());
        context.print(&match self.json {
            true => json_text::pretty(&findings)?,
            false => format_findings(&findings, context.terminal.stdout.paint, line_width(context)),
        })?;
        let problems = findings.iter().filter(|found| found.verdict == Verdict::Problem);
        match problems.count() {
            0 => Ok(()),
            1 => anyhow::bail!("1 problem found"),
            count => anyhow::bail!("{count} problems found"),
        }
    }
}

/// The width of the terminal; unlimited in a pipe.
fn line_width(context: &Context) -> usize {
    match context.terminal.stdout.is_terminal {
        true => usize::from(context.terminal.size().0),
        false => usize::MAX,
    }
}

/// A line per finding, with the advice below.
fn format_findings(findings: &[Finding], paint: Paint, line_width: usize) -> String {
    let width = findings
        .iter()
        .map(|found| found.subject.len())
        .max()
        .unwrap_or(0);
    let indent = " ".repeat(9 + width + 2);
    let options = textwrap::Options::new(line_width.saturating_sub(indent.len()))
        .break_words(false)
        // Users copy commands.
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    let mut text = String::new();
    for finding in findings {
        let verdict = format!("{:<7}", <&str>::from(finding.verdict));
        let verdict = paint.text(finding.verdict.role(), &verdict);
        let (subject, found) = (&finding.subject, display_safe(&finding.found));
        let advice = finding.advice.as_deref().map(display_safe);
        let mut lines = textwrap::wrap(&found, &options);
        lines.extend(advice.iter().flat_map(|advice| textwrap::wrap(advice, &options)));
        let _ = writeln!(
            text,
            "{verdict}  {subject:<width$}  {}",
            lines.join(&format!("\n{indent}"))
        );
    }
    text
}

fn program() -> Finding {
    let version = env!("CARGO_PKG_VERSION");
    let built = match HAS_CUDA {
        true => "with CUDA",
        false => "without CUDA",
    };
    let facts = json!({ "version": version, "cuda": HAS_CUDA });
    Finding::ok("program", format!("cutline {version}, built {built}"), facts)
}

/// The device that a command would use.
fn device(requested: DeviceChoice, opened: Result<ChosenDevice, DeviceError>) -> Finding {
    let finding = |found: String, name: Option<&str>| {
        let facts = json!({ "requested": requested.to_string(), "name": name });
        Finding::ok("device", found, facts)
    };
    let rejected = |error: &DeviceError| format!("{}: {}", error.kind.summary(), error.text);
    match &opened {
        Ok(device) => {
            let name = device.name();
            match device.why_no_gpu() {
                None => finding(name.to_owned(), Some(name)),
                Some(error) => finding(format!("{name}, since {}", rejected(error)), Some(name))
                    .but(verdict_on(error), error.kind.advice()),
            }
        }
        Err(error) => finding(rejected(error), None).but(Verdict::Problem, error.kind.advice()),
    }
}

/// Without `--device cuda`, a machine without a GPU has no problem.
fn verdict_on(error: &DeviceError) -> Verdict {
    match error.kind {
        DeviceErrorKind::NoGpu | DeviceErrorKind::NoDriver | DeviceErrorKind::InUse => Verdict::Note,
        _ => Verdict::Problem,
    }
}

/// Whether a GPU runs our kernels: a copy, a product, and reading both back.
fn kernels(opened: &Result<ChosenDevice, DeviceError>) -> Option<Finding> {
    let device = opened.as_ref().ok()?;
    if !HAS_CUDA || device.name() == CPU {
        return None;
    }
    let checked = guarded(|| device.check_kernels());
    let checked = checked.unwrap_or_else(|error| Err(error.to_string()));
    let facts = json!({ "work": checked.is_ok() });
    Some(match checked {
        Ok(()) => Finding::ok("kernels", "a copy and a product give the right numbers", facts),
        Err(reason) => Finding::ok(
            "kernels",
            format!("dfdx's are used, which are slower: {reason}"),
            facts,
        )
        .but(
            Verdict::Problem,
            "unset CUTLINE_KERNELS, or build for this GPU; see docs/cuda.md",
        ),
    })
}

fn products(precision: MatmulPrecision) -> Finding {
    let found = match precision {
        MatmulPrecision::Full => "full precision; --tf32 and --bf16 are faster",
        MatmulPrecision::Tf32 => "TF32: exact to three digits",
        MatmulPrecision::Bf16 => "BF16: exact to two digits",
    };
    Finding::ok("products", found, json!({ "precision": precision.name() }))
}

fn threads() -> Finding {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let used = rayon::current_num_threads();
    let facts = json!({ "used": used, "cores": cores });
    judge_threads(
        Finding::ok("threads", format!("{used} for {cores} cores"), facts),
        used,
        cores,
    )
}

fn judge_threads(finding: Finding, used: usize, cores: usize) -> Finding {
    match used < cores {
        true => finding.but(
            Verdict::Note,
            "some cores are idle: RAYON_NUM_THREADS is below their number; unset it",
        ),
        false => finding,
    }
}

fn memory() -> Finding {
    let kind = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(kind);
    judge_memory(system.available_memory(), system.total_memory())
}

fn judge_memory(free: u64, total: u64) -> Finding {
    let found = format!("{} of {} free", gigabytes(free), gigabytes(total));
    let finding = Finding::ok("memory", found, json!({ "free": free, "total": total }));
    match free < LOW_MEMORY {
        true => finding.but(
            Verdict::Note,
            "training may need more: close other programs, or use a smaller batch",
        ),
        false => finding,
    }
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

/// The workbench's graphics protocol on this terminal.
fn images(context: &Context) -> Finding {
    let terminal = &context.terminal;
    if !terminal.is_interactive() {
        let found = "standard output is not a terminal: images are not drawn";
        return Finding::ok("images", found, json!({ "protocol": null }));
    }
    let protocol = workbench::image_protocol(context).name();
    let finding = Finding::ok("images", protocol, json!({ "protocol": protocol }));
    match protocol {
        "half-blocks" => finding.but(
            Verdict::Note,
            "the terminal reports no graphics protocol; kitty, WezTerm, Ghostty, foot and iTerm2 have one",
        ),
        _ => finding,
    }
}

fn colors(context: &Context) -> Finding {
    let found = match workbench::theme(context).pixels {
        Pixels::TrueColor => "16,777,216",
        Pixels::Palette => "256; set COLORTERM=truecolor if the terminal has more",
        Pixels::Characters => "none: no terminal, or NO_COLOR, --color never or --ascii is set",
    };
    Finding::ok("colors", found, Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finding_is_a_line_with_advice_below() {
        let findings = [
            Finding::ok("program", "cutline", Value::Null),
            Finding::ok("gpu", "none\u{1b}[2J", Value::Null).but(Verdict::Problem, "buy one"),
        ];
        let lines =
            "ok       program  cutline\nproblem  gpu      none\u{fffd}[2J\n                  buy one\n";
        assert_eq!(format_findings(&findings, Paint::Plain, usize::MAX), lines);
    }

    #[test]
    fn long_finding_wraps_between_words_with_indent() {
        let finding = Finding::ok("gpu", "an old one", Value::Null)
            .but(Verdict::Note, "build with --features cuda, or not");
        let lines = "note     gpu  an old one\n              build with\n              --features cuda,\n              or not\n";
        assert_eq!(format_findings(&[finding], Paint::Plain, 31), lines);
    }

    #[test]
    fn verdict_follows_severity() {
        assert_eq!(judge_memory(2_000_000_000, 8_000_000_000).verdict, Verdict::Ok);
        assert_eq!(judge_memory(500_000_000, 8_000_000_000).verdict, Verdict::Note);
        let finding = || Finding::ok("threads", "", Value::Null);
        assert_eq!(judge_threads(finding(), 2, 2).verdict, Verdict::Ok);
        assert_eq!(judge_threads(finding(), 1, 2).verdict, Verdict::Note);

        let fallback = |message: &str| ChosenDevice::Cpu {
            opened: crate::nn::device::Opened::cpu(),
            instead: Some(DeviceError::new(message)),
        };
        let auto = |message| device(DeviceChoice::Auto, Ok(fallback(message)));
        assert_eq!(auto("CUDA_ERROR_NO_DEVICE").verdict, Verdict::Note);
        let old = auto("CUDA_ERROR_UNSUPPORTED_PTX_VERSION");
        assert_eq!(old.verdict, Verdict::Problem);
        assert!(old.advice.unwrap().contains("newer driver"));
        let rejected = device(DeviceChoice::Cuda(0), Err(DeviceError::not_built(0)));
        assert_eq!(rejected.verdict, Verdict::Problem);
    }
}
