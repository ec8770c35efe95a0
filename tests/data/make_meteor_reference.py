"""Makes meteor_reference.json: drawn captions with the scores that METEOR 1.5 gives them, on data files of our own.

    pip install pycocoevalcap==1.2
    python tests/data/make_meteor_reference.py > tests/data/meteor_reference.json

Needs Java. The jar of pycocoevalcap runs with the function words, abbreviations, synsets and paraphrases below, which
stand before its own in the class path. The comparison on the published data is `meteor_equals_the_jar_on_its_own_data`
in `tests/optional_metrics.rs`: it needs the folder `meteor` of pycocoevalcap in CUTLINE_METEOR.
"""

import gzip
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import pycocoevalcap.meteor.meteor as meteor

EXAMPLES = 420

SYNONYMS = [
    ["dog", "hound"],
    ["hound", "follow"],
    ["child", "kid", "youngster"],
    ["stone", "rock"],
    ["rock", "sway"],
    ["large", "big"],
    ["run", "sprint", "dash"],
    ["street", "road"],
    ["mouse", "rodent"],
    ["man", "adult"],
    ["box", "crate"],
    ["fish", "angle"],
    ["happy", "glad"],
    ["watch", "see"],
    ["near", "close"],
]
IRREGULAR = {"child": "children", "mouse": "mice", "man": "men", "run": "ran running", "see": "saw seen"}
FUNCTION_WORDS = "a an the of in on and is are with at to , . \" ' 's n't ! there it".split()
PREFIXES = "# Titles\nMr\nDr\nmt\n\nst\nNo #NUMERIC_ONLY#\nno #NUMERIC_ONLY#\n"
PARAPHRASES = [
    ("in front of", "before"),
    ("before", "in front of"),
    ("a group of", "several"),
    ("a group of", "many"),
    ("several", "some of the"),
    ("next to", "beside"),
    ("next to", "near"),
    ("beside", "by the side of"),
    ("is running", "runs"),
    ("runs", "goes fast"),
    ("looks at", "watches"),
    ("a lot of", "many"),
    ("many", "a great number of"),
    ("two", "2"),
    ("close to", "near"),
    ("at the top of", "on"),
    ("the edge of the", "a"),
    ("dog", "the animal"),
    ("red ball", "ball"),
]
NOUNS = (
    "dog dogs hound child children kid kids youngster stone stones rock rocks street road mouse mice rodent man men adult"
    " box boxes crate fish ball balls t-shirt well-dressed animal U.S. Mr. Dr. St. café No. 7 3,000 1.5 10:30 'd c0 as c5"
).split()
ADJECTIVES = "large larger big red happy happier glad close small two 2 several many three-legged 20%".split()
VERBS = (
    "is runs running ran sprint sprints sprinting dashed watches sees saw looks follows following sways angle fishing isn't"
    " doesn't can't rock goes boys' it's"
).split()
PLACES = ["in front of", "before", "next to", "beside", "by the side of", "near", "close to", "at the top of", "on", "of"]
OPENINGS = ["a", "the", "a group of", "several", "some of the", "a lot of", "many", "a great number of", "there is a", "an"]
MARKS = [".", ",", "...", "!", "''", "\"", "-", "--", "(", ")", "'", "..", "-lrb-", "?!", "#", "–", "’"]


def noun_phrase(draw):
    words = [draw.choice(OPENINGS)]
    if draw.random() < 0.4:
        words.append(draw.choice(ADJECTIVES))
    return words + [draw.choice(NOUNS)]


def caption(draw):
    words = noun_phrase(draw)
    for _ in range(draw.choice([0, 1, 1, 2, 2, 3])):
        words.append(draw.choice(VERBS))
        if draw.random() < 0.3:
            words.append(draw.choice(["fast", "and", "looks at", "is running"]))
        words += [draw.choice(PLACES), *noun_phrase(draw)]
    return " ".join(words).split()


def changed(draw, words):
    """A caption with words lost, moved, repeated, replaced, or joined to punctuation."""
    result = []
    for word in words:
        fate = draw.random()
        if fate < 0.72:
            result.append(word)
        elif fate < 0.78:
            result.append(draw.choice(NOUNS + VERBS + ADJECTIVES))
        elif fate < 0.83:
            result += [word] * draw.randint(2, 5)
        elif fate < 0.89:
            result.append(word + draw.choice(MARKS))
        elif fate < 0.93:
            result.append(draw.choice(MARKS) + word)
        elif fate < 0.95:
            result.append(word + draw.choice(["-", ".", ",", "'", "/"]) + draw.choice(NOUNS))
    if draw.random() < 0.15:
        draw.shuffle(result)
    return result


def example(draw):
    kind = draw.random()
    first = caption(draw)
    if kind < 0.1:
        words = NOUNS + ADJECTIVES + VERBS
        return draw.choice(words), [draw.choice(words) for _ in range(draw.randint(1, 3))]
    if kind < 0.17:
        few = draw.sample("a the dog dogs running run kid child children near".split(), 4)
        return tuple(" ".join(draw.choices(few, k=draw.randint(5, 30))) for _ in range(2))
    references = [caption(draw) if draw.random() < 0.3 else changed(draw, first) for _ in range(draw.randint(0, 4))]
    references = [" ".join(words) for words in [first, *references]]
    hypothesis = " ".join(changed(draw, first)) if draw.random() < 0.95 else ""
    return (references[0] if draw.random() < 0.05 else hypothesis), references


def synsets():
    """Two lines for each word: the word, and the numbers of its synsets."""
    numbers = {}
    for number, words in enumerate(SYNONYMS, 100):
        for word in words:
            numbers.setdefault(word, []).append(number)
    return "".join(f"{word}\n{' '.join(map(str, sets))}\n" for word, sets in numbers.items())


def data_files():
    return {
        "function/english.words": "\n".join(FUNCTION_WORDS) + "\n",
        "nonbreaking/english.prefixes": PREFIXES,
        "synonym/english.synsets": synsets(),
        "synonym/english.exceptions": "".join(f"{base}\n{forms}\n" for base, forms in IRREGULAR.items()),
        "data/paraphrase-en": "".join(f"0.5\n{phrase}\n{other}\n" for phrase, other in PARAPHRASES),
    }


def write_files(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == "data/paraphrase-en":
            path.with_suffix(".gz").write_bytes(gzip.compress(text.encode()))
        else:
            path.write_text(text, encoding="utf-8")
    # METEOR does not read it, but opens it.
    (folder / "synonym/english.relations").write_text("")


def jar_scores(folder, examples):
    """The scores of all captions, and of the corpus."""
    jar = pathlib.Path(meteor.__file__).parent / meteor.METEOR_JAR
    command = ["java", "-Xmx2G", "-cp", f"{folder}:{jar}", "Meteor", "-", "-", "-stdio", "-l", "en", "-norm"]
    command += ["-a", str(folder / "data/paraphrase-en.gz")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as java:

        def ask(line):
            java.stdin.write(line + "\n")
            java.stdin.flush()

        counts = []
        for hypothesis, references in examples:
            ask(" ||| ".join(["SCORE", *references, hypothesis]))
            counts.append(java.stdout.readline().strip())
        ask(" ||| ".join(["EVAL", *counts]))
        scores = [float(java.stdout.readline()) for _ in range(len(examples) + 1)]
        java.stdin.close()
    return scores[:-1], scores[-1]


def main():
    draw = random.Random(20140627)
    examples = [example(draw) for _ in range(EXAMPLES)]
    examples = [(one, [other] if isinstance(other, str) else other) for one, other in examples]
    files = data_files()
    with tempfile.TemporaryDirectory() as folder:
        write_files(pathlib.Path(folder), files)
        scores, corpus = jar_scores(pathlib.Path(folder), examples)
    lines = [
        json.dumps({"hypothesis": hypothesis, "references": references, "meteor": score}, ensure_ascii=False)
        for (hypothesis, references), score in zip(examples, scores)
    ]
    print('{"files": %s,' % json.dumps(files))
    print('"corpus": %r,' % corpus)
    print('"examples": [\n%s\n]}' % ",\n".join(lines))


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    main()
