//! Tokens per second of one optimiser step of each decoder, and how near it comes to its own matrix products.
//!
//! ```text
//! cargo bench --bench training
//! CUTLINE_PEERS=venv/bin/python cargo bench --bench training       PyTorch in turn with us
//! cargo bench --bench training -- --profile                        where the time of a step goes
//! ```
//!
//! A step is what a training does with a batch: `Decoder::training_loss`, backward, `Adam::update`. The bare
//! products are those of the same step, at the same shapes, and nothing else; a ratio of 1 would mean that all
//! the rest were free. Padding is neither computed nor counted.

mod captions;
mod case;
mod peer;
mod profile;
#[path = "../support/mod.rs"]
mod support;

use case::{Case, Training};
use cutline::decoder::CaptionBatch;
use peer::Peer;
use support::{Buffers, Contestant, Failure, Product, Rounds, print_conditions, timed};

fn main() -> Result<(), Failure> {
    print_conditions();
    if std::env::args().any(|argument| argument == "--profile") {
        return profile::print();
    }
    let python = peer::interpreter();
    println!(
        "\n{:<17}  {:<18}  {:<8} {:>6} {:>6} {:>9} {:>8} {:>19} {:>17}",
        "rate to products'",
        "speed to PyTorch's",
        "decoder",
        "hidden",
        "words",
        "tokens/s",
        "GFLOP/s",
        "products' GFLOP/s",
        "PyTorch tokens/s"
    );
    Case::all().try_for_each(|case| measure(case, python.as_deref()))
}

/// Places among the contestants.
const STEP: usize = 0;
const PRODUCTS: usize = 1;
const PEER: usize = 2;

fn measure(case: Case, python: Option<&str>) -> Result<(), Failure> {
    let batches = captions::batches(case.vocabulary);
    let products: Vec<Product> = batches.iter().flat_map(|batch| case.products(batch)).collect();
    let mut training = Training::new(case)?;
    let mut buffers = Buffers::for_all(&products);
    let mut peer = match python {
        Some(python) => Peer::start(python, case, &batches)?,
        None => None,
    };
    let mut contestants: Vec<Contestant<'_>> = vec![
        Box::new(|| {
            timed(|| {
                batches
                    .iter()
                    .try_for_each(|batch| training.step(batch).map(drop))
            })
        }),
        Box::new(|| Ok(buffers.seconds(&products))),
    ];
    let has_peer = peer.is_some();
    if let Some(peer) = &mut peer {
        contestants.push(Box::new(|| peer.round()));
    }
    let rounds = Rounds::run(&mut contestants)?;
    drop(contestants);

    let tokens: usize = batches.iter().map(CaptionBatch::tokens).sum();
    let operations: f64 = products.iter().map(|product| product.operations()).sum();
    let (to_peer, peer_rate) = if has_peer {
        let rate = tokens as f64 / rounds.seconds(PEER);
        (rounds.ratio(PEER, STEP).to_string(), format!("{rate:.0}"))
    } else {
        ("-".into(), "-".into())
    };
    println!(
        "{:<17}  {to_peer:<18}  {:<8} {:>6} {:>6} {:>9.0} {:>8.0} {:>19.0} {peer_rate:>17}",
        rounds.ratio(PRODUCTS, STEP),
        case.kind,
        case.hidden,
        case.vocabulary,
        tokens as f64 / rounds.seconds(STEP),
        operations / rounds.seconds(STEP) / 1e9,
        operations / rounds.seconds(PRODUCTS) / 1e9,
    );
    Ok(())
}
