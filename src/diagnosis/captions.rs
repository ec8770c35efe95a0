//! Diagnosis of generated captions: the most common failure is the same caption for every image.

use super::symptom::Symptom;
use crate::metrics::{Diversity, Metric, Scores, Shuffled};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Fewer images may share captions by chance.
const MIN_IMAGES: usize = 20;
/// The largest healthy share of images with the same caption. In Flickr8k the most common reference belongs to one
/// image in a thousand; a cautious captioner repeats itself far more, but one caption for a fifth of different
/// images is a failure.
const MAX_SAME_CAPTION: f64 = 0.2;
/// The largest healthy fraction of the scores that remains when captions are shuffled among the images. On
/// Flickr8k 8 % of BLEU-4 and 4 % of CIDEr-D remain of human captions, and all of captions that ignore the image.
/// BLEU-1 and ROUGE-L are no evidence: half of them remains of human captions.
const MAX_KEPT: f64 = 0.6;
/// Below this BLEU-1, captions and references hardly have a word in common.
const MIN_BLEU_1: f64 = 0.1;
/// Above this mean cosine similarity the features of all images are practically the same.
const MAX_SIMILARITY: f64 = 0.99;
/// With more than this fraction of the uniform log-probability, the decoder has not even learned which words are
/// frequent: the most frequent word, regardless of the image, reaches about a quarter.
const MAX_UNLEARNED: f64 = 0.5;

/// Symptoms of generated captions, with their likely causes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// At least one.
    pub symptoms: Vec<Symptom>,
    /// The causes that fit the evidence, the most likely first.
    pub causes: Vec<Cause>,
}

/// A likely cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Features or probabilities are NaN.
    Diverged,
    /// The features of all images are alike.
    FeaturesAlike,
    /// The images were preprocessed in another way than the network was trained with.
    Preprocessing,
    /// The learning rate was too high.
    LearningRate,
    /// The decoder has learned only the most common words so far.
    Undertrained,
    /// References or features belong to other images.
    OtherImages,
}

/// Evidence for the causes of failed captions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The origin of the decoder's features.
    pub encoder: EncoderOrigin,
    /// Mean cosine similarity of the features of different images; `None` for a single image, and in JSON if
    /// features are NaN.
    pub feature_similarity: Option<f64>,
    /// Mean log-probability of the captions' tokens, in nats.
    #[serde(deserialize_with = "number_or_nan")]
    pub token_log_probability: f64,
    /// The same for a uniform distribution over the vocabulary.
    pub uniform_log_probability: f64,
}

/// The origin of the decoder's features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncoderOrigin {
    /// A pretrained CNN.
    Pretrained,
    /// A CNN trained jointly with the decoder.
    TrainedJointly,
}

impl Diagnosis {
    /// Diagnoses the captions of a split; `None` if there are no symptoms or too few images.
    pub fn of(
        scores: &Scores,
        diversity: &Diversity,
        shuffled: &Shuffled,
        evidence: &Evidence,
    ) -> Option<Self> {
        let symptoms = symptoms(scores, diversity, shuffled);
        (!symptoms.is_empty()).then(|| Self {
            causes: causes(evidence, diversity, &symptoms),
            symptoms,
        })
    }
}

fn symptoms(scores: &Scores, diversity: &Diversity, shuffled: &Shuffled) -> Vec<Symptom> {
    if diversity.captions < MIN_IMAGES {
        return Vec::new();
    }
    let mut symptoms = Vec::new();
    let fraction = diversity.most_common_fraction;
    if fraction > MAX_SAME_CAPTION {
        symptoms.push(Symptom::SameCaption {
            fraction,
            caption: diversity.most_common_caption.clone(),
        });
    }
    let bleu_1 = scores.score(Metric::BLEU_1);
    let kept = shuffled.kept;
    let [bleu_4_kept, cider_d_kept] = [Metric::BLEU_4, Metric::CIDER_D].map(|metric| kept.score(metric));
    if bleu_1 < MIN_BLEU_1 {
        // Then there is no score for shuffling to reduce.
        symptoms.push(Symptom::NoWordOverlap { bleu_1 });
    } else if bleu_4_kept > MAX_KEPT && cider_d_kept > MAX_KEPT {
        symptoms.push(Symptom::ImageIgnored {
            bleu_4_kept,
            cider_d_kept,
        });
    }
    symptoms
}

fn causes(evidence: &Evidence, diversity: &Diversity, symptoms: &[Symptom]) -> Vec<Cause> {
    let is_ignored = symptoms
        .iter()
        .any(|symptom| matches!(symptom, Symptom::ImageIgnored { .. }));
    let is_varied = 2 * diversity.distinct_captions > diversity.captions;
    let training = training_causes(evidence);
    match is_ignored && is_varied && training != [Cause::Diverged] {
        // A captioner that learned nothing from the images has no reason to write different captions for them.
        true => [&[Cause::OtherImages], training.as_slice()].concat(),
        false => training,
    }
}

fn training_causes(evidence: &Evidence) -> Vec<Cause> {
    let similarity = evidence.feature_similarity;
    let is_finite =
        evidence.token_log_probability.is_finite() && similarity.is_none_or(|value| value.is_finite());
    if !is_finite {
        return vec![Cause::Diverged];
    }
    let are_alike = similarity.is_some_and(|similarity| similarity > MAX_SIMILARITY);
    let is_unlearned = evidence.token_log_probability < MAX_UNLEARNED * evidence.uniform_log_probability;
    let training = if is_unlearned {
        [Cause::Undertrained, Cause::LearningRate]
    } else {
        [Cause::LearningRate, Cause::Undertrained]
    };
    match (are_alike, evidence.encoder) {
        // These features were extracted before training, which cannot have damaged them.
        (true, EncoderOrigin::Pretrained) => vec![Cause::FeaturesAlike, Cause::Preprocessing],
        (true, EncoderOrigin::TrainedJointly) => [&[Cause::FeaturesAlike], training.as_slice()].concat(),
        (false, EncoderOrigin::Pretrained) if !is_unlearned => {
            [&training, [Cause::Preprocessing].as_slice()].concat()
        }
        (false, _) => training.to_vec(),
    }
}

/// A sentence with the cause and what to try.
impl fmt::Display for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Diverged => {
                "the weights have diverged: features or probabilities are NaN; train again with a lower \
                 training.learning_rate"
            }
            Self::FeaturesAlike => {
                "the features of all images are alike; choose another layer, or see the causes below"
            }
            Self::Preprocessing => {
                "the preprocessing does not match the weights; prepare the dataset again with weights from \
                 their original source, and compare an image's top classes"
            }
            Self::LearningRate => {
                "the learning rate is too high, if the training loss spiked or is on a plateau; train again with a \
                 lower training.learning_rate"
            }
            Self::Undertrained => {
                "undertrained, if the training loss is still falling; train for more epochs"
            }
            Self::OtherImages => {
                "captions differ between images, but fit other images as well: the references or the features may \
                 belong to other images; compare some images with their captions (cutline show)"
            }
        })
    }
}

/// Reads `null` as NaN: JSON has no NaN, and a diverged captioner has reports with it.
pub(crate) fn number_or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
