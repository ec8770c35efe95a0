//! Naming the illness that captioners are most often reported with, the same caption for every image, and its
//! likely causes.

use super::report::{EncoderOrigin, Figures};
use crate::metrics::Metric;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Fewer images than this share captions by chance.
const FEWEST_IMAGES: usize = 20;
/// The largest share of images that a sound captioner gives one caption to. Of Flickr8k's images, people gave
/// one in a thousand the commonest caption; a cautious captioner repeats itself far more, but one caption in
/// five fits no collection of different images.
const LARGEST_SHARE: f64 = 0.2;
/// The most that is left of the scores of a captioner that looks at the image, when its captions are shuffled
/// among the images. Captions by people keep 8 % of BLEU-4 and 4 % of CIDEr-D on Flickr8k, captions that ignore
/// the image keep all. BLEU-1 and ROUGE-L tell nothing: people keep half of them.
const MOST_KEPT: f64 = 0.6;
/// Below this BLEU-1, captions and references hardly have a word in common.
const LEAST_BLEU_1: f64 = 0.1;
/// Above this mean cosine, what differs between images is a hundredth of what they share.
const ALIKE: f64 = 0.99;
/// A decoder whose words have hardly more than this share of the uniform log-probability has yet to learn even
/// which words are frequent: writing the likeliest word without looking costs about a quarter of it.
const UNLEARNED: f64 = 0.5;

/// A captioner that fails: by what signs, and for what likely causes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Collapse {
    /// What shows it; at least one.
    pub signs: Vec<Sign>,
    /// The causes that the evidence leaves, likeliest first.
    pub causes: Vec<Cause>,
}

/// What shows a collapse.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "sign", rename_all = "snake_case")]
pub enum Sign {
    /// Too many images got the same caption.
    SameCaption {
        /// The share of images that got it.
        share: f64,
    },
    /// The captions score nearly as well on other images.
    ImageIgnored {
        /// The share of BLEU-4 that is left.
        bleu_4_kept: f64,
        /// The share of CIDEr-D that is left.
        cider_d_kept: f64,
    },
    /// Captions and references hardly have a word in common.
    NothingRight {
        /// BLEU-1.
        bleu_1: f64,
    },
}

/// What a collapse may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Features or probabilities are not numbers.
    Diverged,
    /// The features do not tell images apart.
    FeaturesAlike,
    /// Images were brought into another form than the network learned to read.
    Preprocessing,
    /// The weights were driven to where nothing depends on the input any more.
    LearningRate,
    /// The decoder has learned the commonest words and not yet the images.
    TrainedTooLittle,
}

impl Collapse {
    /// Looks for the signs of a collapse; `None` where there are none, or too few images to tell.
    pub fn find(figures: &Figures) -> Option<Self> {
        let signs = signs(figures);
        (!signs.is_empty()).then(|| Self {
            signs,
            causes: causes(figures),
        })
    }
}

fn signs(figures: &Figures) -> Vec<Sign> {
    if figures.images < FEWEST_IMAGES {
        return Vec::new();
    }
    let mut signs = Vec::new();
    let share = figures.diversity.commonest_share;
    if share > LARGEST_SHARE {
        signs.push(Sign::SameCaption { share });
    }
    let bleu_1 = figures.scores.score(Metric::BLEU_1);
    let kept = figures.shuffled.kept;
    let [bleu_4_kept, cider_d_kept] = [Metric::BLEU_4, Metric::CIDER_D].map(|metric| kept.score(metric));
    if bleu_1 < LEAST_BLEU_1 {
        // Then there is no score that shuffling could take away.
        signs.push(Sign::NothingRight { bleu_1 });
    } else if bleu_4_kept > MOST_KEPT && cider_d_kept > MOST_KEPT {
        signs.push(Sign::ImageIgnored {
            bleu_4_kept,
            cider_d_kept,
        });
    }
    signs
}

fn causes(figures: &Figures) -> Vec<Cause> {
    let evidence = figures.evidence;
    let similarity = evidence.feature_similarity;
    let is_finite =
        evidence.token_log_probability.is_finite() && similarity.is_none_or(|value| value.is_finite());
    if !is_finite {
        return vec![Cause::Diverged];
    }
    let are_alike = similarity.is_some_and(|similarity| similarity > ALIKE);
    let is_unlearned = evidence.token_log_probability < UNLEARNED * evidence.uniform_log_probability;
    let training = if is_unlearned {
        [Cause::TrainedTooLittle, Cause::LearningRate]
    } else {
        [Cause::LearningRate, Cause::TrainedTooLittle]
    };
    match (are_alike, evidence.encoder) {
        // These features were made before training, which cannot have spoiled them.
        (true, EncoderOrigin::Published) => vec![Cause::FeaturesAlike, Cause::Preprocessing],
        (true, EncoderOrigin::TrainedAlong) => [&[Cause::FeaturesAlike], training.as_slice()].concat(),
        (false, EncoderOrigin::Published) if !is_unlearned => {
            [&training, [Cause::Preprocessing].as_slice()].concat()
        }
        (false, _) => training.to_vec(),
    }
}

/// A sentence on what was seen.
impl fmt::Display for Sign {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::SameCaption { share } => {
                write!(out, "{} of the images got the same caption", Percent(share))
            }
            Self::ImageIgnored {
                bleu_4_kept,
                cider_d_kept,
            } => write!(
                out,
                "given to other images, the captions keep {} of BLEU-4 and {} of CIDEr-D: the image hardly matters",
                Percent(bleu_4_kept),
                Percent(cider_d_kept)
            ),
            Self::NothingRight { bleu_1 } => write!(
                out,
                "captions and references hardly have a word in common (BLEU-1 {bleu_1:.4})"
            ),
        }
    }
}

/// The cause and what to try.
impl fmt::Display for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Diverged => {
                "the weights have diverged: features or probabilities are not numbers; train again with a lower \
                 training.learning_rate"
            }
            Self::FeaturesAlike => {
                "the features are all alike, so the decoder cannot tell images apart; choose another layer, or see \
                 below why they are"
            }
            Self::Preprocessing => {
                "the preprocessing does not fit the network's weights; prepare the data set again with weights from \
                 their original source, and compare an image's top classes"
            }
            Self::LearningRate => {
                "the learning rate is too high, if the training loss jumped or stands still; train again with a \
                 lower training.learning_rate"
            }
            Self::TrainedTooLittle => {
                "it was trained too little, if the training loss is still falling; train for more epochs"
            }
        })
    }
}

/// A share, shown as whole per cent.
struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:.0} %", self.0 * 100.0)
    }
}
