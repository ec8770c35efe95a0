"""Makes ptb_reference.json: odd sentences with the tokens that coco-caption's tokenizer gives them.

    pip install pycocoevalcap==1.2 blake3==1.0.11        # and Java 11 or later on the path
    python tests/data/make_ptb_reference.py --captions Flickr8k.token.txt > tests/data/ptb_reference.json

The sentences are written here, from words and characters that the tokenizer treats in different ways. `--sentences` and
`--seed` make others; CUTLINE_PTB_REFERENCE=FILE cargo test --release --test ptb_reference compares them.

Of the captions file only figures are kept: a hash of all tokens, and the scores of each image's first caption against the
others.
"""

import argparse
import json
import random
import subprocess
import tempfile
from pathlib import Path

from blake3 import blake3
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer import ptbtokenizer
from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS, PTBTokenizer

JAR = Path(ptbtokenizer.__file__).with_name(ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR)

# A tokenizer for each caption, as in one call of the package for each: in a longer call, the next caption can change the
# last token of one. Line ends and backslashes are escaped.
DRIVER = """
import edu.stanford.nlp.ling.*;
import edu.stanford.nlp.process.*;
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.Locale;

public class Driver {
    public static void main(String[] arguments) throws Exception {
        java.util.logging.LogManager.getLogManager().reset();
        String input = new String(System.in.readAllBytes(), StandardCharsets.UTF_8);
        StringBuilder output = new StringBuilder();
        for (String line : input.split("\\n")) {
            String caption = line.substring(1).replace("\\\\r", "\\r").replace("\\\\n", " ").replace("\\\\b", "\\\\");
            PTBTokenizer<CoreLabel> tokenizer =
                new PTBTokenizer<CoreLabel>(new StringReader(caption), new CoreLabelTokenFactory(), ",tokenizeNLs");
            String separator = "";
            while (tokenizer.hasNext()) {
                String token = tokenizer.next().get(CoreAnnotations.TextAnnotation.class);
                if (token.equals(PTBTokenizer.getNewlineToken())) {
                    break;
                }
                output.append(separator).append(
                    token.toLowerCase(Locale.ENGLISH).replace("\\\\", "\\\\b").replace("\\r", "\\\\r"));
                separator = " ";
            }
            output.append("\\n");
        }
        System.out.write(output.toString().getBytes(StandardCharsets.UTF_8));
        System.out.flush();
    }
}
"""

WORDS = """
dog Woman girl's isn't can't won't they're I'd o'clock ma'am c'mon d'you 'n' 'em '90s ol' lil' fishin' 'tis 'twas ’Tis y'all
couldn't've he'd've cannot gonna gotta lemme gimme wanna dunno wanna-be James' boys' 1920's U.S. u.s. U.S.'s t-shirt 12-15
mid-'80s pre- jack-o'-lantern and/or w/o 24/7 w/ /usr/bin f*** etc. inc. Inc. lb. in. approx. No. no. fig. Fig. Ph.D. Ed.D.
p.m. P.M. Mr. Dr. St. Jan. Sept. Mon. Calif. Ark. ark. Az. ill. Ill. Miss. miss. Co. Ltd. Pty. lim ltd vs. a.k.a. ca. pp. art.
Bldg. est. sq. al. Wm. hen.fox!owl?bat photo_01.jpg v2.0 runs., barks.The a@b.org foo@bar.com, <foo@bar.com> &lt;a@b.org&gt;
http://www.example.com/a?b=c. https://x.y/z, www.foo.co.uk example.com/a/b ftp://x.org foo.net Foo.Com @user_1 #tag #1 #été # ##
@ ___ € £ ¢ ¤ ¥ ₤ ₹ $ US$ $5.00 C$20 250,000 1,234.56 .5 -5 +5 3:30 10:30am 3km 20%-30% 1/2 ½ 2½ ⅓ ⅛ 1⁄2 10/12/2014 10-12-14
(555) 555-1234 +1 555 123 4567 555.123.4567 1-800-555-1234 … ... .. .... ...... . -- --- - – — ― &mdash; &ndash; &MD; &amp; &AMP;
&lt; &gt; &quot; &QUOT; &apos; &APOS;s &nbsp; &hellip; &#39; &#x27; &eacute; caf&eacute;'s &HT; AT&T AT&amp;T A+B Q&A :) ;-) :( :-D
:o) =) <3 :P >:( ^_^ -_- (^_^) (x_x) ^.[^x=~<>] <b> </b> <br/> <unk> </s> [UNK] <!-- x --> << >> < > = ( ) [ ] { } " ' ` `` ''
“ ” ‘ ’ ‚ ‹ › « » ! ? !! ?! ; : , * ** \\* \\/ \\ / // + % ^ ~ | & ° © ™ № § ¹ x² H₂O ⁻² ☺ ♥ ☺️ 😀 🐕dog 日本語 犬。 、 「犬」 собака's
σκύλος ΣΑΣ ΟΔΟΣ-Ο İstanbul ıI ſ e\u0301 café हिन्दी ไทย עברית ١٢٣ ۱۲ c++ C# f# cont'd. nor'easter e'er li'l O'Brien D'Arcy l'eau
rock'n'roll 'till 'cause somethin' Dunkin' Cap'n c'est pro- S&P-500 -LRB- C.D.s U.S.-U.K. non-U.S. A. I. J.F.K. a.b The About He Mr
So foo.c bar.py. x.txt, 4x4 3rd 1950s 5'10" dogs' don`t can’t isn’t ’90s y’all y'know x-ray., A-1. so\u00adft \u00ad well\u2011known a_b
l'a-b n't N'T donn't 's 'S 'll 're
""".split()
ODD = "\r \r\n \n \t \v \f \x85 \u2028 \u2029 \xa0 \u2003 \u3000 \u200b \u200d \ufeff \x00 \x01 \x1c \x7f \x80 \x91 \x92 \x94 \x97 \u202f \ufffd \uffff \U0001f600 \u0308 \u212a \u1885 \u24b6".split(" ")
SIGNS = "\"'`.,;:!?-_/\\*()[]{}<>@#$%^&+=|~0159aAbcnstzSITKik  "
JOINTS = [" "] * 14 + [""] * 9 + list("-/.'’\xa0\n_–\"()?!:;&*\u00ad\t\u2003") + ["  ", ", ", ". ", ' "', ") "]
ENDS = [".", "!", "?", " .", "...", '."', "''", " A", ". The "]
CASES = [str] * 8 + [str.upper, str.lower, str.title, str.swapcase]


def character(draw):
    fate = draw.random()
    if fate < 0.6:
        return draw.choice(SIGNS)
    if fate < 0.72:
        return chr(draw.randrange(32, 127))
    if fate < 0.82:
        return draw.choice(ODD)
    if fate < 0.9:
        return chr(draw.randrange(0x80, 0x600))
    if fate < 0.97:
        low, high = draw.choice([(0x2000, 0x2C00), (0x600, 0x1200), (0xFF00, 0xFFFF), (0x1200, 0xD800)])
        return chr(draw.randrange(low, high))
    return chr(draw.randrange(0x10000, 0x10400))


def word(draw):
    fate = draw.random()
    if fate < 0.8:
        return draw.choice(CASES)(draw.choice(WORDS))
    if fate < 0.87:
        return str(draw.randrange(10 ** draw.randrange(1, 7)))
    return "".join(draw.choice("abcdeinorstuyABCDEINORSTUY") for _ in range(draw.randrange(1, 9)))


def sentence(draw):
    words = (word(draw) + (draw.choice(ODD) if draw.random() < 0.02 else draw.choice(JOINTS)) for _ in range(draw.randrange(1, 9)))
    return "".join(words).rstrip(" ") + (draw.choice(ENDS) if draw.random() < 0.3 else "")


def noise(draw):
    return "".join(character(draw) for _ in range(draw.randrange(1, 20)))


def damaged(draw):
    text = list(sentence(draw))
    for _ in range(draw.randrange(1, 4)):
        place = draw.randrange(len(text) + 1)
        text[place : place + draw.randrange(2)] = [character(draw)] * draw.randrange(2)
    return "".join(text)


def sentences(seed, count):
    draw = random.Random(seed)
    return [draw.choice([sentence, sentence, sentence, damaged, noise])(draw) for _ in range(count)]


def tokenized(captions):
    """The tokens of each caption, joined by spaces."""
    lines = "".join(">%s\n" % caption.replace("\\", "\\b").replace("\n", "\\n").replace("\r", "\\r") for caption in captions)
    with tempfile.TemporaryDirectory() as directory:
        driver = Path(directory) / "Driver.java"
        driver.write_text(DRIVER)
        java = ["java", "-cp", str(JAR), str(driver)]
        output = subprocess.run(java, input=lines.encode(), stdout=subprocess.PIPE, check=True).stdout.decode()
    lines = [line.replace("\\r", "\r").replace("\\b", "\\") for line in output.split("\n")[:-1]]
    assert len(lines) == len(captions)
    # The rest is what the package does with a line.
    return [" ".join(w for w in line.rstrip().split(" ") if w and w not in PUNCTUATIONS) for line in lines]


def check_driver(captions, tokens):
    """Compares with calls of the package."""
    for caption, expected in zip(captions, tokens):
        lines = PTBTokenizer().tokenize({0: [{"caption": caption}]}).get(0, [""])
        assert lines[0] == expected, (caption, lines, expected)


def of_captions(path):
    """Figures of a captions file with lines such as `1.jpg#0<tab>caption`."""
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n") if line]
    tokens = tokenized([caption for _, caption in lines])
    by_image = {}
    for (name, _), line in zip(lines, tokens):
        by_image.setdefault(name.split("#")[0], []).append(line)
    hypotheses = {image: captions[:1] for image, captions in by_image.items()}
    references = {image: captions[1:] for image, captions in by_image.items()}
    bleu, _ = Bleu(4).compute_score(references, hypotheses, verbose=0)
    rouge, _ = Rouge().compute_score(references, hypotheses)
    cider, _ = Cider().compute_score(references, hypotheses)
    keys = [*(f"bleu_{order}" for order in range(1, 5)), "rouge_l", "cider_d"]
    return {
        "captions": len(lines),
        "tokens": sum(len(line.split(" ")) for line in tokens if line),
        "blake3": blake3("\n".join(tokens).encode()).hexdigest(),
        "scores": dict(zip(keys, map(float, [*bleu, rouge, cider]))),
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--sentences", type=int, default=2500)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--captions", type=Path, help="the captions file of Flickr8k")
    arguments.add_argument("--check", type=int, default=0, help="how many sentences to check by calls of the package")
    arguments = arguments.parse_args()
    captions = sentences(arguments.seed, arguments.sentences)
    tokens = tokenized(captions)
    check_driver(captions[: arguments.check], tokens)
    flickr8k = of_captions(arguments.captions) if arguments.captions else None
    print('{"flickr8k": %s,' % json.dumps(flickr8k))
    print('"sentences": [\n%s\n]}' % ",\n".join(json.dumps(pair, ensure_ascii=False) for pair in zip(captions, tokens)))


if __name__ == "__main__":
    main()
