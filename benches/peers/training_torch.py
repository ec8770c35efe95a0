"""The merge decoder's training step in PyTorch, in two forms.

  padded   as it is usually written: captions padded to the longest of their batch, the padding left out of the
           loss alone, Adam as it comes
  packed   as PyTorch runs it best on a CPU: only real tokens go through any layer, and Adam is the fused one
"""

import sys

import torch
from serve import serve
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_sequence

PAD, START, FIRST_WORD = 0, 1, 4


class Merge(nn.Module):
    """Features -> dense; embedding -> LSTM; the two added; dense; logits."""

    def __init__(self, channels, hidden, vocabulary, dropout):
        super().__init__()
        self.image = nn.Linear(channels, hidden)
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)
        self.joint = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, vocabulary)
        self.dropout = nn.Dropout(dropout)

    def see(self, features):
        return torch.relu(self.image(self.dropout(features)))

    def read(self, inputs):
        return self.dropout(self.embedding(inputs))

    def logits(self, image, text):
        return self.output(self.dropout(torch.relu(self.joint(image + text))))


class Captions:
    """Captions of random words: what is read, and what is asked for."""

    def __init__(self, lengths, channels, vocabulary):
        self.features = torch.rand(len(lengths), channels)
        self.targets = [torch.randint(FIRST_WORD, vocabulary, (length,)) for length in lengths]
        self.inputs = [torch.cat([torch.tensor([START]), words[:-1]]) for words in self.targets]


class Padded:
    """A row for every caption, as long as the longest."""

    def __init__(self, captions):
        self.features = captions.features
        self.inputs = pad_sequence(captions.inputs, batch_first=True, padding_value=PAD)
        self.targets = pad_sequence(captions.targets, batch_first=True, padding_value=PAD).flatten()

    def logits(self, model):
        text, _ = model.lstm(model.read(self.inputs))
        return model.logits(model.see(self.features).unsqueeze(1), text).flatten(0, 1)


class Packed:
    """A row for every token, step by step; captions come longest first."""

    def __init__(self, captions):
        packed = pack_sequence(captions.inputs)
        self.features = captions.features
        self.inputs = packed.data
        self.batch_sizes = packed.batch_sizes
        self.targets = pack_sequence(captions.targets).data
        self.image_of_rows = torch.cat([torch.arange(live) for live in packed.batch_sizes.tolist()])

    def logits(self, model):
        words = PackedSequence(model.read(self.inputs), self.batch_sizes)
        text = model.lstm(words)[0].data
        return model.logits(model.see(self.features)[self.image_of_rows], text)


FORMS = {"padded": (Padded, {}), "packed": (Packed, {"fused": True})}


def train(model, optimizer, batches, loss_of):
    for batch in batches:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(batch.logits(model), batch.targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        if not torch.isfinite(loss):
            sys.exit("the loss became infinite or not a number")


def prepare(order):
    torch.set_num_threads(order["threads"])
    torch.manual_seed(1)
    layout, adam = FORMS[order["form"]]
    channels, vocabulary = order["channels"], order["vocabulary"]
    model = Merge(channels, order["hidden"], vocabulary, order["dropout"])
    optimizer = torch.optim.Adam(model.parameters(), lr=order["learning_rate"], **adam)
    batches = [layout(Captions(lengths, channels, vocabulary)) for lengths in order["batches"]]
    loss_of = nn.CrossEntropyLoss(ignore_index=PAD, label_smoothing=order["label_smoothing"])
    return lambda: train(model, optimizer, batches, loss_of)


if __name__ == "__main__":
    serve(prepare)
