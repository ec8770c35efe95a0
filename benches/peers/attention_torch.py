"""The training step of a decoder with soft attention in PyTorch, as it is usually written.

Every caption comes with its own copy of its image's regions; an LSTM cell is called step by step on captions padded
to the longest of their batch, and the padding is left out of the loss alone.
"""

import torch
from serve import serve
from torch import nn
from training_torch import PAD, Captions, Padded, train


class Attend(nn.Module):
    """Regions -> dense; a look at them for each word, gated, read by the LSTM beside the word; a deep output."""

    def __init__(self, channels, hidden, vocabulary, dropout):
        super().__init__()
        self.value = nn.Linear(channels, hidden)
        self.initial_hidden = nn.Linear(hidden, hidden)
        self.initial_cell = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.query = nn.Linear(hidden, hidden)
        self.score = nn.Linear(hidden, 1)
        self.gate = nn.Linear(hidden, hidden)
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.cell = nn.LSTMCell(2 * hidden, hidden)
        self.deep = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, vocabulary)
        self.dropout = nn.Dropout(dropout)

    def look(self, hidden, keys, values):
        scores = self.score(torch.tanh(keys + self.query(hidden).unsqueeze(1))).squeeze(2)
        seen = (torch.softmax(scores, 1).unsqueeze(2) * values).sum(1)
        return torch.sigmoid(self.gate(hidden)) * seen

    def forward(self, regions, inputs):
        values = self.value(self.dropout(regions))
        keys, mean = self.key(values), values.mean(1)
        hidden, cell = torch.tanh(self.initial_hidden(mean)), torch.tanh(self.initial_cell(mean))
        rows = []
        for words in self.dropout(self.embedding(inputs)).unbind(1):
            seen = self.look(hidden, keys, values)
            hidden, cell = self.cell(torch.cat([words, seen], 1), (hidden, cell))
            rows.append(torch.tanh(hidden + self.deep(seen)))
        return self.output(self.dropout(torch.stack(rows, 1)))


class PaddedWithRegions(Padded):
    """The captions, and a grid of regions for each."""

    def __init__(self, captions, regions, channels):
        super().__init__(captions)
        self.regions = torch.rand(len(captions.targets), regions, channels)

    def logits(self, model):
        return model(self.regions, self.inputs).flatten(0, 1)


def prepare(order):
    torch.set_num_threads(order["threads"])
    torch.manual_seed(1)
    channels, vocabulary = order["channels"], order["vocabulary"]
    model = Attend(channels, order["hidden"], vocabulary, order["dropout"])
    optimizer = torch.optim.Adam(model.parameters(), lr=order["learning_rate"])
    captions = [Captions(lengths, 0, vocabulary) for lengths in order["batches"]]
    batches = [PaddedWithRegions(captions, order["regions"], channels) for captions in captions]
    loss_of = nn.CrossEntropyLoss(ignore_index=PAD, label_smoothing=order["label_smoothing"])
    return lambda: train(model, optimizer, batches, loss_of)


if __name__ == "__main__":
    serve(prepare)
