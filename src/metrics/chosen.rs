//! One of the scores, chosen: what images are sorted by, and what a column shows.

use super::Scores;

/// One of the six scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Score {
    /// BLEU-1.
    Bleu1,
    /// BLEU-2.
    Bleu2,
    /// BLEU-3.
    Bleu3,
    /// BLEU-4.
    Bleu4,
    /// ROUGE-L.
    RougeL,
    /// CIDEr-D.
    #[default]
    CiderD,
}

impl Score {
    /// All of them, in the order of [`Scores::NAMES`].
    pub const ALL: [Self; 6] = [
        Self::Bleu1,
        Self::Bleu2,
        Self::Bleu3,
        Self::Bleu4,
        Self::RougeL,
        Self::CiderD,
    ];

    /// The one after it, around the end.
    pub fn next(self) -> Self {
        Self::ALL[(self as usize + 1) % Self::ALL.len()]
    }

    /// Its usual name, such as `BLEU-4`.
    pub fn name(self) -> &'static str {
        Scores::NAMES[self as usize]
    }

    /// What `scores` say of it.
    pub fn of<T>(self, scores: Scores<T>) -> T {
        let [bleu_1, bleu_2, bleu_3, bleu_4] = scores.bleu;
        match self {
            Self::Bleu1 => bleu_1,
            Self::Bleu2 => bleu_2,
            Self::Bleu3 => bleu_3,
            Self::Bleu4 => bleu_4,
            Self::RougeL => scores.rouge_l,
            Self::CiderD => scores.cider_d,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_taken_from_its_place() {
        let scores = Scores::from_array(Scores::NAMES);
        for score in Score::ALL {
            assert_eq!(score.of(scores), score.name());
        }
    }
}
