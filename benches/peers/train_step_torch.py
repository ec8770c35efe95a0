"""The merge decoder's training step in PyTorch, as `cargo bench --bench training` orders it.

Reads one JSON value a line: first what to train, then "round" as often as it likes. Answers each with the
seconds it took, 0 for the first. Everything is as PyTorch runs it best on a CPU: only real tokens go through
the output layer, and the optimiser is the fused one.
"""

import json
import sys
import time

import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

START_AND_FIRST_WORD = 1, 4


class Merge(nn.Module):
    """Features -> dense; embedding -> LSTM; the two added; dense; logits."""

    def __init__(self, channels, hidden, vocabulary, dropout):
        super().__init__()
        self.image = nn.Linear(channels, hidden)
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.lstm = nn.LSTM(hidden, hidden)
        self.joint = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, vocabulary)
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch):
        image = torch.relu(self.image(self.dropout(batch.features)))
        words = batch.packed(self.dropout(self.embedding(batch.inputs)))
        text = self.lstm(words)[0].data
        joint = torch.relu(self.joint(image[batch.photo_of_rows] + text))
        return self.output(self.dropout(joint))


class Batch:
    """Captions of random words, longest first; a row for every token, step by step."""

    def __init__(self, lengths, channels, vocabulary):
        start, first_word = START_AND_FIRST_WORD
        captions = [torch.randint(first_word, vocabulary, (length,)) for length in lengths]
        self.features = torch.rand(len(lengths), channels)
        inputs = [torch.cat([torch.tensor([start]), words[:-1]]) for words in captions]
        packed = pack_sequence(inputs)
        self.inputs = packed.data
        self.batch_sizes = packed.batch_sizes
        self.targets = pack_sequence(captions).data
        self.photo_of_rows = torch.cat([torch.arange(live) for live in packed.batch_sizes.tolist()])

    def packed(self, rows):
        return nn.utils.rnn.PackedSequence(rows, self.batch_sizes)


def train(model, optimiser, batches, label_smoothing):
    for batch in batches:
        optimiser.zero_grad(set_to_none=True)
        logits = model(batch)
        loss = nn.functional.cross_entropy(logits, batch.targets, label_smoothing=label_smoothing)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        if not torch.isfinite(loss):
            sys.exit("the loss became infinite or not a number")


def main():
    order = json.loads(sys.stdin.readline())
    torch.set_num_threads(order["threads"])
    torch.manual_seed(1)
    channels, vocabulary = order["channels"], order["vocabulary"]
    model = Merge(channels, order["hidden"], vocabulary, order["dropout"])
    optimiser = torch.optim.Adam(model.parameters(), lr=order["learning_rate"], fused=True)
    batches = [Batch(lengths, channels, vocabulary) for lengths in order["batches"]]
    print(0, flush=True)
    while sys.stdin.readline():
        start = time.perf_counter()
        train(model, optimiser, batches, order["label_smoothing"])
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
