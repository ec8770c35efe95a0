//! Captions image files with a run's best checkpoint, as `cutline caption` does.
//!
//! ```text
//! cargo run --release --example caption_image -- demo-001 image.png
//! ```

use cutline::jobs::Root;
use cutline::search::{Captioner, cpu};
use cutline::training::TrainedRun;
use cutline::vision::image_io::decode;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or("usage: caption_image RUN IMAGE...")?;
    let directory = Root::new(".").find_run(&name)?;

    // A run keeps its vocabulary, its settings and the path of its backbone's weights.
    let run = TrainedRun::open(&directory, &directory.best(), &cpu())?;
    let search = run.search(run.record.settings.search.clone())?;
    let weights = run.record.data.weights.clone();
    let captioner = Captioner::new(run.model, run.vocabulary, weights.as_deref())?;

    for path in arguments {
        let pixels = captioner.preprocessor().apply(&decode(&path)?);
        let captions = captioner.captions(&[pixels], &search)?;
        for hypothesis in captions.into_iter().flatten() {
            println!(
                "{path}\t{:8.3}\t{}",
                hypothesis.log_probability, hypothesis.caption
            );
        }
    }
    Ok(())
}
