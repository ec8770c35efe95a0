//! Tokens per second of one optimizer step of each decoder, how near it comes to its own matrix products and to the
//! machine's best, and how it stands to peers.
//!
//! ```text
//! cargo bench --bench training
//! CUTLINE_PEERS=venv/bin/python cargo bench --bench training       PyTorch and Keras in turn with us
//! cargo bench --bench training -- --profile                        where the time of a step goes
//! ```
//!
//! A step is what a training does with a batch: `Decoder::training_loss`, backward, `Adam::update`. The bare
//! products are those of the same step, at the same shapes, and nothing else; a ratio of 1 would mean that all
//! the rest were free, had no zeros been left out of them. Padding is neither computed nor counted.

#[path = "../support/mod.rs"]
mod support;
#[path = "mod.rs"]
mod training;

use support::{Failure, Library, Peers, join_the_threads, print_conditions};
use training::baseline::Baseline;
use training::case::Case;
use training::comparison::{self, Outcome};
use training::profile;

fn main() -> Result<(), Failure> {
    join_the_threads()?;
    print_conditions();
    if std::env::args().any(|argument| argument == "--profile") {
        return profile::print();
    }
    let peers = Peers::find(&[Library::Torch, Library::TensorFlow]);
    let baselines = Baseline::ALL.map(Baseline::name);
    println!(
        "\n{:<17}  {:<17}  {:<26}  {:<19}  {:<19}  {:<8} {:>6} {:>6} {:>9}  GFLOP/s (products', machine's)",
        "rate to products'",
        "to machine's best",
        format!("speed to {}", baselines[0]),
        baselines[1],
        baselines[2],
        "decoder",
        "hidden",
        "words",
        "tokens/s",
    );
    Case::all().try_for_each(|case| {
        print(&comparison::measure(case, &Baseline::ALL, &peers)?);
        Ok(())
    })
}

fn print(outcome: &Outcome) {
    let [usual, best, keras] = Baseline::ALL.map(|baseline| {
        let against = outcome.against(baseline);
        against.map_or("-".into(), |against| against.speed.to_string())
    });
    let (case, rates) = (outcome.case, &outcome.operations);
    println!(
        "{:<17}  {:<17}  {usual:<35}  {best:<19}  {keras:<19}  {:<8} {:>6} {:>6} {:>9.0}  {:.0} ({:.0}, {:.0})",
        outcome.to_products,
        outcome.to_machine,
        case.kind,
        case.hidden,
        case.vocabulary,
        outcome.tokens_per_second,
        rates.step,
        rates.products,
        rates.machine,
    );
}
