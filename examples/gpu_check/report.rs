//! PASS and FAIL lines.

use super::found::{Failure, Found};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

/// If the largest number is smaller, nothing was computed.
const NOTHING: f32 = 1e-20;

/// The results so far.
#[derive(Default)]
pub(crate) struct Report {
    passed: usize,
    failed: usize,
}

impl Report {
    /// Runs a check on both devices, and prints a line for each result.
    pub(crate) fn compare(
        &mut self,
        name: &str,
        tolerance: f32,
        expected: impl FnOnce() -> Result<Found, Failure>,
        found: impl FnOnce() -> Result<Found, Failure>,
    ) {
        let since = Instant::now();
        let both = caught(expected).and_then(|expected| Ok((expected, caught(found)?)));
        match both {
            Ok((expected, found)) => {
                if expected.len() != found.len() {
                    self.count(Err(format!(
                        "{name}: {} numbers, not {}",
                        found.len(),
                        expected.len()
                    )));
                }
                for ((what, expected), (_, found)) in expected.iter().zip(&found) {
                    let result = compared(expected, found, tolerance);
                    let line = |result: String| format!("{name}, {what}: {result}");
                    self.count(result.map(line).map_err(line));
                }
            }
            Err(failure) => self.count(Err(format!("{name}: {failure}"))),
        }
        println!("     {name}: {:.2} s", since.elapsed().as_secs_f64());
    }

    fn count(&mut self, outcome: Result<String, String>) {
        match outcome {
            Ok(line) => {
                self.passed += 1;
                println!("PASS {line}");
            }
            Err(line) => {
                self.failed += 1;
                println!("FAIL {line}");
            }
        }
    }

    /// Prints the totals.
    pub(crate) fn end(self) -> ExitCode {
        println!("{} passed, {} failed", self.passed, self.failed);
        match self.failed {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}

/// The result of `work`; a panic is an error.
fn caught(work: impl FnOnce() -> Result<Found, Failure>) -> Result<Found, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("without a message")).into())
    })
}

/// The difference of numbers; an error if it exceeds the tolerance.
fn compared(expected: &[f32], found: &[f32], tolerance: f32) -> Result<String, String> {
    if expected.len() != found.len() {
        return Err(format!("{} numbers instead of {}", found.len(), expected.len()));
    }
    let largest = expected.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
    // A NaN on either side is an infinite difference.
    let difference = expected.iter().zip(found).fold(0.0, |most: f32, (a, b)| {
        let difference = (a - b).abs();
        if difference.is_nan() {
            f32::INFINITY
        } else {
            most.max(difference)
        }
    });
    let text = format!(
        "{} numbers up to {largest:.3e}, off by {:.1e} of that",
        expected.len(),
        difference / largest.max(NOTHING)
    );
    if largest > NOTHING && difference <= tolerance * largest {
        Ok(text)
    } else {
        Err(format!("{text}, more than {tolerance:.1e}"))
    }
}

#[cfg(test)]
mod tests {
    use super::compared;

    #[test]
    fn difference_above_tolerance_is_an_error() {
        assert!(compared(&[1.0, -2.0], &[1.0, -2.00001], 1e-4).is_ok());
        assert!(compared(&[1.0, -2.0], &[1.0, -2.1], 1e-4).is_err());
        assert!(compared(&[1.0], &[f32::NAN], 1e-4).is_err());
        assert!(compared(&[1.0], &[1.0, 1.0], 1e-4).is_err());
        assert!(compared(&[0.0], &[0.0], 1e-4).is_err(), "nothing was computed");
    }
}
