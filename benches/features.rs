//! Photos per second of each backbone, and how near its convolutions come to the machine's matrix products.
//!
//! ```text
//! CUTLINE_WEIGHTS=~/weights cargo bench --bench features
//! ```
//!
//! `CUTLINE_WEIGHTS` is a folder with the published files named in `BACKBONES`; one that is missing is left out.
//! A shared machine is not the same from one minute to the next, so the product is measured beside each network
//! and the ratio is the figure to compare.

use cutline::vision::backbone::{Backbone, BackboneKind};
use cutline::vision::weights::WeightFile;
use dfdx::prelude::{Cpu, TensorFromVec};
use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

const BACKBONES: [(BackboneKind, &str, &str); 2] = [
    (BackboneKind::MobileNetV2, "mobilenet_v2-b0353104.pth", "features"),
    (
        BackboneKind::Vgg16,
        "vgg16_imagenet_notop_keras_hwio.kernels_f16.safetensors",
        "block5_pool",
    ),
];

const BATCH: usize = 8;
const RUNS: usize = 4;

/// Rows, columns and depth of the product that stands for the machine.
const PRODUCT: usize = 2048;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(folder) = std::env::var_os("CUTLINE_WEIGHTS").map(PathBuf::from) else {
        println!("skipped: set CUTLINE_WEIGHTS to a folder of published weights");
        return Ok(());
    };
    println!(
        "batch {BATCH}, {} threads, best of {RUNS}",
        rayon::current_num_threads()
    );
    for (kind, name, layer) in BACKBONES {
        let path = folder.join(name);
        if path.exists() {
            measure(kind, &WeightFile::open(path)?, layer)?;
        } else {
            println!("{kind}: no {name}");
        }
    }
    Ok(())
}

fn measure(kind: BackboneKind, file: &WeightFile, layer: &str) -> Result<(), Box<dyn Error>> {
    let cpu = Cpu::default();
    let backbone = Backbone::load(kind, file, Some(layer), &cpu)?;
    let size = backbone.preprocessing().size as usize;
    let pixels = (0..BATCH * size * size * 3)
        .map(|i| (i % 255) as f32 / 127.5 - 1.0)
        .collect();
    let photos = cpu.tensor_from_vec(pixels, (BATCH, size, size, 3));
    let mut failure = None;
    let seconds = best_seconds(|| {
        failure = black_box(backbone.forward(photos.clone())).err();
    });
    if let Some(error) = failure {
        return Err(error.into());
    }
    let operations = 2.0 * backbone.multiply_adds() as f64 * BATCH as f64;
    let (rate, machine) = (operations / seconds / 1e9, product_rate());
    println!(
        "{kind} {layer}: {:.1} photos/s, {rate:.0} GFLOP/s, {:.0} % of the product's {machine:.0}",
        BATCH as f64 / seconds,
        100.0 * rate / machine
    );
    Ok(())
}

/// GFLOP/s of one large product on all threads.
fn product_rate() -> f64 {
    let a = vec![0.5_f32; PRODUCT * PRODUCT];
    let mut out = vec![0.0_f32; PRODUCT * PRODUCT];
    let seconds = best_seconds(|| product(&mut out, &a, &a));
    black_box(&out);
    2.0 * (PRODUCT as f64).powi(3) / seconds / 1e9
}

fn product(out: &mut [f32], a: &[f32], b: &[f32]) {
    let (n, stride) = (PRODUCT, PRODUCT as isize);
    assert!(out.len() == n * n && a.len() == n * n && b.len() == n * n);
    // SAFETY: the assertion keeps every access inside the three slices.
    unsafe {
        gemm::gemm(
            n,
            n,
            n,
            out.as_mut_ptr(),
            1,
            stride,
            false,
            a.as_ptr(),
            1,
            stride,
            b.as_ptr(),
            1,
            stride,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        );
    }
}

fn best_seconds(mut work: impl FnMut()) -> f64 {
    let seconds = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    work();
    (0..RUNS)
        .map(|_| seconds(&mut work))
        .fold(f64::INFINITY, f64::min)
}
