//! Reading a captions file of five million lines, as large as all of COCO's many times over: seconds and memory, beside
//! one pass over the same bytes that only counts lines.
//!
//! ```text
//! cargo bench --bench captions_file
//! ```
//!
//! The images are empty files, one for five lines. The table and, on Linux, the peak of the process's memory are printed.

mod support;

use cutline::data::DataSource;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use support::{Candidate, Failure, Rounds, timed};

const IMAGES: usize = 1_000_000;
const CAPTIONS_PER_IMAGE: usize = 5;
/// Images in a directory.
const DIRECTORY: usize = 1_000;

fn main() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    println!(
        "writing {IMAGES} empty images and {} lines",
        IMAGES * CAPTIONS_PER_IMAGE
    );
    write(folder.path())?;
    let file = folder.path().join("captions.csv");
    let mut candidates: [Candidate<'_>; 2] = [
        Box::new(|| {
            timed(|| {
                let read = DataSource::new(folder.path()).read()?;
                let captions: usize = read.images.iter().map(|image| image.captions.len()).sum();
                assert_eq!(captions, IMAGES * CAPTIONS_PER_IMAGE);
                Ok(())
            })
        }),
        Box::new(|| timed(|| Ok(fs::read(&file)?.iter().filter(|&&byte| byte == b'\n').count()))),
    ];
    let rounds = Rounds::run(&mut candidates)?;
    drop(candidates);
    println!(
        "{:.1} MB read in {:.2} s, {} times one pass over the bytes; goal 20 s",
        fs::metadata(&file)?.len() as f64 / 1e6,
        rounds.seconds(0),
        rounds.ratio(0, 1),
    );
    if let Some(peak) = peak_memory() {
        println!("peak memory {:.2} GB; goal 2 GB", peak as f64 / 1e9);
    }
    Ok(())
}

fn write(folder: &Path) -> Result<(), Failure> {
    let mut out = BufWriter::new(File::create(folder.join("captions.csv"))?);
    writeln!(out, "image,caption")?;
    for image in 0..IMAGES {
        let directory = format!("{:04}", image / DIRECTORY);
        if image % DIRECTORY == 0 {
            fs::create_dir(folder.join(&directory))?;
        }
        let name = format!("{directory}/COCO_train2014_{image:012}.jpg");
        File::create(folder.join(&name))?;
        for caption in 0..CAPTIONS_PER_IMAGE {
            writeln!(
                out,
                "{name},\"A man rides a wave on top of a surfboard, number {caption}.\""
            )?;
        }
    }
    Ok(out.flush()?)
}

/// Bytes of the largest resident memory so far.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}
