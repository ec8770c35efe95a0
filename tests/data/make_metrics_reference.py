"""Makes metrics_reference.json: random captions with the scores that coco-caption and NLTK give them.

    pip install pycocoevalcap==1.2 nltk==3.10.4
    python tests/data/make_metrics_reference.py > tests/data/metrics_reference.json

The captions are drawn here from a few words; coco-caption's tokenizer (which needs Java) is not called.
"""

import json
import random
import sys
import warnings

from nltk.translate.bleu_score import corpus_bleu
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

WORDS = "a the red blue small ball box cube lies stands on under near two and of left".split()
BLEU_WEIGHTS = [tuple(1 / n for _ in range(n)) for n in range(1, 5)]
EXAMPLES = 250


def caption(draw):
    return [draw.choice(WORDS) for _ in range(draw.randint(0, 20))]


def reworded(draw, words):
    """The same caption with some words lost, changed or added, so that longer n-grams match."""
    result = []
    for word in words:
        fate = draw.random()
        if fate < 0.75:
            result.append(word)
        elif fate < 0.85:
            result.append(draw.choice(WORDS))
        elif fate < 0.92:
            result += [word, draw.choice(WORDS)]
    return result[:20]


def example(draw):
    first = caption(draw)
    others = [reworded(draw, first) if draw.random() < 0.6 else caption(draw) for _ in range(draw.randint(0, 4))]
    hypothesis = reworded(draw, first) if draw.random() < 0.7 else caption(draw)
    return " ".join(hypothesis), [" ".join(reference) for reference in [first] + others]


def coco_scores(examples):
    references = {index: references for index, (_, references) in enumerate(examples)}
    hypotheses = {index: [hypothesis] for index, (hypothesis, _) in enumerate(examples)}
    bleu, bleus = Bleu(4).compute_score(references, hypotheses, verbose=0)
    rouge, rouges = Rouge().compute_score(references, hypotheses)
    cider, ciders = Cider().compute_score(references, hypotheses)
    keys = [*(f"bleu_{order}" for order in range(1, 5)), "rouge_l", "cider_d"]
    corpus = dict(zip(keys, map(float, [*bleu, rouge, cider])))
    sentences = [dict(zip(keys, map(float, scores))) for scores in zip(*bleus, rouges, ciders)]
    return corpus, sentences


def nltk_bleu(examples):
    references = [[reference.split() for reference in references] for _, references in examples]
    hypotheses = [hypothesis.split() for hypothesis, _ in examples]
    return [float(score) for score in corpus_bleu(references, hypotheses, weights=BLEU_WEIGHTS)]


def write(examples, out):
    """One example a line, so that a change shows as a change of lines."""
    corpus, sentences = coco_scores(examples)
    long_enough = [(hypothesis, references) for hypothesis, references in examples if len(hypothesis.split()) >= 4]
    lines = [
        json.dumps({"hypothesis": hypothesis, "references": references, "scores": scores})
        for (hypothesis, references), scores in zip(examples, sentences)
    ]
    print('{"corpus": %s,' % json.dumps(corpus), file=out)
    print('"nltk_bleu": %s,' % json.dumps(nltk_bleu(examples)), file=out)
    print('"nltk_bleu_of_four_tokens_or_more": %s,' % json.dumps(nltk_bleu(long_enough)), file=out)
    print('"examples": [\n%s\n]}' % ",\n".join(lines), file=out)


if __name__ == "__main__":
    draw = random.Random(20150408)
    warnings.simplefilter("error")  # NLTK warns where an order has no match, which would make the case useless
    write([example(draw) for _ in range(EXAMPLES)], sys.stdout)
