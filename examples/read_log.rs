//! Prints the dev scores of a run from its event log. The run may still be training.
//!
//! ```text
//! cargo run --release --example read_log -- demo-001
//! ```

use cutline::jobs::{Event, Root, read_events};
use cutline::metrics::Metric;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).ok_or("usage: read_log RUN")?;
    let run = Root::new(".").find_run(&name)?;
    let log = read_events(&run.job().events())?;

    println!("epoch  train loss  dev loss  CIDEr-D");
    for record in log.records {
        // Readers skip events that they do not know.
        if let Event::Evaluation(evaluation) = record.event {
            println!(
                "{:5}  {:10.4}  {:8.4}  {:7.4}{}",
                evaluation.epoch + 1,
                evaluation.train_loss,
                evaluation.dev_loss,
                evaluation.scores.score(Metric::CIDER_D),
                if evaluation.best { "  best" } else { "" }
            );
        }
    }
    Ok(())
}
