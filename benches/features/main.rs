//! Photos per second of each backbone, and how near its convolutions come to the machine's matrix products.
//!
//! ```text
//! cargo bench --bench features
//! CUTLINE_WEIGHTS=~/weights cargo bench --bench features
//! ```
//!
//! `CUTLINE_WEIGHTS` is a folder with the published files named in `NETWORKS`; without it, or without one of
//! them, the weights are random: the speed is the same.

mod random_weights;
#[path = "../support/mod.rs"]
mod support;

use cutline::vision::backbone::{Backbone, BackboneKind};
use cutline::vision::weights::WeightFile;
use dfdx::prelude::{Cpu, TensorFromVec};
use std::hint::black_box;
use std::path::PathBuf;
use support::{Buffers, Contestant, Failure, Product, Rounds, print_conditions, timed};

/// A network as it is measured: up to a layer, with weights from a file of a name.
struct Network {
    kind: BackboneKind,
    layer: &'static str,
    file: &'static str,
}

const NETWORKS: [Network; 2] = [
    Network {
        kind: BackboneKind::MobileNetV2,
        layer: "features",
        file: "mobilenet_v2-b0353104.pth",
    },
    Network {
        kind: BackboneKind::Vgg16,
        layer: "block5_pool",
        file: "vgg16_imagenet_notop_keras_hwio.kernels_f16.safetensors",
    },
];

const BATCH: usize = 8;

/// Rows, columns and depth of the product that stands for the machine.
const PRODUCT: usize = 2048;

fn main() -> Result<(), Failure> {
    print_conditions();
    println!("batches of {BATCH}; the product is {PRODUCT} x {PRODUCT} x {PRODUCT}\n");
    println!(
        "{:<17}  {:<12} {:<12} {:>8} {:>8} {:>18}  weights",
        "rate to product's", "network", "layer", "photos/s", "GFLOP/s", "product's GFLOP/s"
    );
    NETWORKS.iter().try_for_each(measure)
}

fn measure(network: &Network) -> Result<(), Failure> {
    let cpu = Cpu::default();
    let (backbone, weights) = load(network, &cpu)?;
    let size = backbone.preprocessing().size as usize;
    let pixels = (0..BATCH * size * size * 3)
        .map(|i| (i % 255) as f32 / 127.5 - 1.0)
        .collect();
    let photos = cpu.tensor_from_vec(pixels, (BATCH, size, size, 3));
    let product = [Product::forward(PRODUCT, PRODUCT, PRODUCT)];
    let mut buffers = Buffers::for_all(&product);
    let mut contestants: [Contestant<'_>; 2] = [
        Box::new(|| timed(|| Ok(black_box(backbone.forward(photos.clone())?)))),
        Box::new(|| Ok(buffers.seconds(&product))),
    ];
    let rounds = Rounds::run(&mut contestants)?;
    let operations = 2.0 * backbone.multiply_adds() as f64 * BATCH as f64;
    let share = rounds.ratio(1, 0).times(operations / product[0].operations());
    println!(
        "{share:<17}  {:<12} {:<12} {:>8.1} {:>8.0} {:>18.0}  {weights}",
        network.kind.name(),
        network.layer,
        BATCH as f64 / rounds.seconds(0),
        operations / rounds.seconds(0) / 1e9,
        product[0].operations() / rounds.seconds(1) / 1e9,
    );
    Ok(())
}

/// The network, and where its weights are from.
fn load(network: &Network, cpu: &Cpu) -> Result<(Backbone<Cpu>, &'static str), Failure> {
    let Network { kind, layer, file } = *network;
    let published = std::env::var_os("CUTLINE_WEIGHTS").map(|folder| PathBuf::from(folder).join(file));
    if let Some(path) = published.filter(|path| path.exists()) {
        let backbone = Backbone::load(kind, &WeightFile::open(path)?, Some(layer), cpu)?;
        return Ok((backbone, "published"));
    }
    Ok((random_weights::backbone(kind, layer, cpu)?, "random"))
}
