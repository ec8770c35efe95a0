//! All goals of speed and memory in one table, ratios first.
//!
//! ```text
//! cargo bench --bench speed
//! CUTLINE_PEERS=venv/bin/python cargo bench --bench speed          PyTorch and Keras in turn with us
//! cargo bench --bench speed -- --only training                     also attention, features, caption, memory
//! ```
//!
//! A ratio is that of the middle round, with the least and the most in brackets; its goal is met where the middle
//! is. Without peers the goals that need them are not measured, and say so; the machine's best matrix product is
//! always there.

#[path = "../attention/mod.rs"]
mod attention;
#[path = "../caption/mod.rs"]
mod caption;
#[path = "../features/mod.rs"]
mod features;
#[path = "../memory/mod.rs"]
mod memory;
#[path = "../support/mod.rs"]
mod support;
#[path = "../training/mod.rs"]
mod training;

use support::{Failure, Library, Peers, Table, join_the_threads, print_conditions};

/// The argument that chooses one part.
const ONLY: &str = "--only";

/// A part of the table.
struct Part {
    name: &'static str,
    print: fn(&mut Table, &Peers) -> Result<(), Failure>,
}

const PARTS: [Part; 5] = [
    Part {
        name: "training",
        print: training::goals::print,
    },
    Part {
        name: "attention",
        print: attention::print,
    },
    Part {
        name: "features",
        print: features::goals::print,
    },
    Part {
        name: "caption",
        print: caption::print,
    },
    Part {
        name: "memory",
        print: memory::print,
    },
];

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if memory::work_for_parent(&arguments)? {
        return Ok(());
    }
    let parts = chosen(&arguments)?;
    join_the_threads()?;
    print_conditions();
    let peers = Peers::find(&[Library::Torch, Library::TensorFlow, Library::Pillow]);
    println!();
    let mut table = Table::start();
    parts
        .iter()
        .try_for_each(|part| (part.print)(&mut table, &peers))?;
    table.end();
    Ok(())
}

/// The part that is asked for, or all.
fn chosen(arguments: &[String]) -> Result<Vec<&'static Part>, Failure> {
    let Some(place) = arguments.iter().position(|argument| argument == ONLY) else {
        return Ok(PARTS.iter().collect());
    };
    let name = arguments.get(place + 1).map_or("", String::as_str);
    match PARTS.iter().find(|part| part.name == name) {
        Some(part) => Ok(vec![part]),
        None => Err(format!(
            "{ONLY} {name}: no such part; there are {}",
            PARTS.map(|part| part.name).join(", ")
        )
        .into()),
    }
}
