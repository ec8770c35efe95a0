"""Captions a dataset's stored features with a checkpoint, in PyTorch alone: docs/checkpoint-format.md in code.

    pip install torch safetensors
    python load_in_pytorch.py checkpoints/RUN datasets/NAME/features/STORE [BEAM_SIZE]

Prints image, tab, caption, as `cutline caption` does. For `merge` and `soft-attention`, with embeddings that are not tied.
"""

import json, sys
from pathlib import Path
import numpy, torch
from safetensors import safe_open

run, store, beam_size = Path(sys.argv[1]), Path(sys.argv[2]), int((sys.argv + ["1"])[3])
with safe_open(run / "best.safetensors", "pt") as file:
    kind = json.loads(file.metadata()["cutline"])["model"]["decoder"]["kind"]
    w = {name: file.get_tensor(name) for name in file.keys()}
lines = (run / "vocabulary.txt").read_text().split("\n")
words = ["<pad>", "<start>", "<end>", "<unk>"] + [line.split("\t")[0] for line in lines if line]
lstm = torch.nn.LSTMCell(w["embedding.table"].shape[1], w["lstm.hidden_weight"].shape[0])
# PyTorch keeps a matrix as [outputs, inputs], Cutline as [inputs, outputs]; the gates have the same order: i, f, g, o.
extra = w.get("context.weight", torch.zeros(0, w["lstm.bias"].shape[1]))
lstm.weight_ih = torch.nn.Parameter(w["lstm.input_weight"].T)
lstm.weight_hh = torch.nn.Parameter(w["lstm.hidden_weight"].T)
lstm.bias_ih, lstm.bias_hh = torch.nn.Parameter(w["lstm.bias"][0]), torch.nn.Parameter(torch.zeros(len(w["lstm.bias"][0])))


def linear(name, x):
    return x @ w[f"{name}.weight"] + w[f"{name}.bias"]


def start(features):  # [regions, channels] to the state before the first word
    regions = (features - w["features.mean"]) * w["features.scale"]
    if kind == "merge":
        zeros = torch.zeros(1, lstm.hidden_size)
        return zeros, zeros, linear("image", regions.mean(0, keepdim=True)).relu(), None
    values = linear("image", regions).relu()
    mean = values.mean(0, keepdim=True)
    return linear("initial_hidden", mean).tanh(), linear("initial_cell", mean).tanh(), values, linear("key", values)


def step(word, hidden, cell, image, keys):  # one word to the log-probabilities of the next, and the state after it
    x = w["embedding.table"][word][None]
    if kind == "merge":
        hidden, cell = lstm(x, (hidden, cell))
        rows = linear("joint", hidden + image).relu()
    else:
        scores = (keys + linear("query", hidden)).tanh() @ w["score.weight"]
        context = linear("gate", hidden).sigmoid() * (scores.softmax(0) * image).sum(0, keepdim=True)
        # The context is a second input of the LSTM, with a matrix of its own.
        lstm.bias_hh.data = (context @ w["context.weight"])[0]
        hidden, cell = lstm(x, (hidden, cell))
        rows = (hidden + linear("deep", context)).tanh()
    return linear("output", rows).log_softmax(1)[0], (hidden, cell, image, keys)


def caption(features, length_penalty=0.7, max_length=20):
    beam = [(0.0, [1], start(features))]  # log-probability, words from <start> on, state; None where <end> came
    for _ in range(max_length):
        candidates = [hypothesis for hypothesis in beam if hypothesis[2] is None]
        for total, ids, state in (hypothesis for hypothesis in beam if hypothesis[2] is not None):
            log_probabilities, after = step(ids[-1], *state)
            log_probabilities[[0, 1, 3] + [2] * (len(ids) == 1)] = -torch.inf
            for value, word in zip(*log_probabilities.topk(beam_size)):
                ended = word == 2
                candidates.append((total + value.item(), ids + [word.item()] * (not ended), None if ended else after))
        beam = sorted(candidates, key=lambda hypothesis: -hypothesis[0])[:beam_size]
    # A caption of n words has n + 1 tokens with its end.
    best = max(beam, key=lambda hypothesis: hypothesis[0] / len(hypothesis[1]) ** length_penalty)
    return " ".join(words[id] for id in best[1][1:])


spec = json.loads((store / "store.json").read_text())
spec = spec.get("features", spec)
rows = numpy.memmap(store / "rows.bin", "<f2" if spec["dtype"] == "f16" else "<f4", "r").reshape(-1, spec["regions"], spec["channels"])
with torch.inference_mode():
    for key, row in zip((store / "index.jsonl").read_text().splitlines(), rows):
        print(json.loads(key), caption(torch.from_numpy(row.astype("float32"))), sep="\t")
