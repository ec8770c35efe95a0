"""Compares the ONNX files of `cutline pack --format onnx` with Cutline on real images, in onnxruntime.

    pip install onnx onnxruntime pillow numpy safetensors
    cutline pack RUN --format onnx --out FOLDER
    cutline caption RUN IMAGES... --beam-size 1 > captions.tsv
    python check_onnx.py FOLDER captions.tsv [--features FILE]

Checks both files with ONNX's own checker and shape inference, captions the images of `captions.tsv` greedily, and prints how many
captions are the same. FILE is that of `cutline features IMAGES... --backbone B --weights W --out FILE`; the cosine is that
of features without the run's normalization. Run with onnx 1.23.2 and onnxruntime 1.32.0.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from PIL import Image

START, END = 1, 2
NEVER = [0, 1, 3]
FILTERS = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}


def prepared(path, preprocessing):
    """The square of pixels, from 0 to 255; the graph does the rest."""
    image = Image.open(path).convert("RGB")
    size, resize = preprocessing["size"], preprocessing["resize"]
    filter = FILTERS[preprocessing["interpolation"]]
    if image.size == (size, size):
        pass
    elif resize == "squash":
        image = image.resize((size, size), filter)
    else:
        width, height = image.size
        short, side = min(width, height), resize["shorter_side"]
        image = image.resize((int(side * width / short), int(side * height / short)), filter)
        left, top = round((image.width - size) / 2), round((image.height - size) / 2)
        image = image.crop((left, top, left + size, top + size))
    return np.asarray(image, dtype=np.float32)


def greedy(step, first, states, maximum):
    state, words, attention = first, [START], []
    for _ in range(maximum):
        named = dict(zip([output.name for output in step.get_outputs()], step.run(None, {"word": np.array(words[-1:]), **state})))
        scores = named["log_probabilities"][0]
        assert abs(np.exp(scores.astype(np.float64)).sum() - 1) < 1e-4
        scores[NEVER + ([END] if len(words) == 1 else [])] = -np.inf
        words.append(int(scores.argmax()))
        if words[-1] == END:
            return words[1:-1], attention
        state = {tensor["input"]: named[tensor["output"]] if "output" in tensor else state[tensor["input"]] for tensor in states}
        if "attention" in named:
            assert abs(named["attention"].sum() - 1) < 1e-4
            attention.append(named["attention"][0])
    return words[1:], attention


def main():
    folder, captions = Path(sys.argv[1]), Path(sys.argv[2])
    config = json.loads((folder / "config.json").read_text())
    words = json.loads((folder / "vocabulary.json").read_text())
    for name in ("encoder.onnx", "decoder.onnx"):
        onnx.checker.check_model(folder / name, full_check=True)
    encoder = onnxruntime.InferenceSession(folder / "encoder.onnx")
    decoder = onnxruntime.InferenceSession(folder / "decoder.onnx")
    outputs = [output.name for output in encoder.get_outputs()]
    lines = [line.split("\t") for line in captions.read_text().splitlines()]
    pixels = [prepared(path, config["preprocessing"]) for path, _ in lines]
    made = [dict(zip(outputs, encoder.run(None, {"pixels": image[None]}))) for image in pixels]
    together = dict(zip(outputs, encoder.run(None, {"pixels": np.stack(pixels[:3])})))
    assert all(np.allclose(together["features"][i], made[i]["features"][0], atol=1e-3) for i in range(len(pixels[:3])))
    if "--features" in sys.argv:
        compare(sys.argv[sys.argv.index("--features") + 1], lines, made, config)
    same = 0
    for (path, caption), encoded in zip(lines, made):
        first = {tensor["input"]: encoded[tensor["input"]] for tensor in config["states"]}
        written, _ = greedy(decoder, first, config["states"], config["search"]["max_length"])
        written = " ".join(words[word] for word in written)
        same += written == caption
        if written != caption:
            print(f"{path}: {written!r} is {caption!r} in Cutline")
    print(f"{config['decoder']}: {same} of {len(lines)} captions are the same")
    sys.exit(same < len(lines))


def compare(file, lines, made, config):
    from safetensors.numpy import load_file

    stored = load_file(file)
    cosines = []
    for (path, _), encoded in zip(lines, made):
        ours = stored[Path(path).name].reshape(-1).astype(np.float64)
        normalization = config["normalization"]
        theirs = encoded["features"][0].astype(np.float64) / normalization["scale"] + normalization["mean"]
        theirs = theirs.reshape(-1)
        cosines.append(ours @ theirs / np.sqrt((ours @ ours) * (theirs @ theirs)))
    print(f"features: cosine {min(cosines):.7f} or better over {len(cosines)} images")
    assert min(cosines) >= 0.99999


if __name__ == "__main__":
    main()
