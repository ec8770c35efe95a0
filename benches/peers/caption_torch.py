"""A caption for one image in PyTorch: backbone, merge decoder, beam search with the beams as a batch.

The JPEG is decoded by Pillow; where no file is named, pixels of the image's size are at hand.
"""

import numpy as np
import torch
from networks_torch import NETWORKS
from serve import serve
from torch import nn

START, FIRST_WORD = 1, 4
CHANNELS = 1280
IMAGE = 500, 375
SHORTER_SIDE, SIZE = 256, 224
MEAN = torch.tensor([0.485, 0.456, 0.406])
DEVIATION = torch.tensor([0.229, 0.224, 0.225])


class Merge(nn.Module):
    def __init__(self, hidden, vocabulary):
        super().__init__()
        self.image = nn.Linear(CHANNELS, hidden)
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.lstm = nn.LSTMCell(hidden, hidden)
        self.joint = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, vocabulary)

    def see(self, features):
        return torch.relu(self.image(features))

    def step(self, image, words, state):
        state = self.lstm(self.embedding(words), state)
        logits = self.output(torch.relu(self.joint(state[0] + image)))
        return torch.log_softmax(logits, 1), state


def image_at(path):
    if path is None:
        width, height = IMAGE
        return torch.randint(256, (height, width, 3), dtype=torch.uint8)
    from PIL import Image

    return torch.from_numpy(np.array(Image.open(path).convert("RGB")))


def pixels_of(image):
    """The shorter side to 256, the square of 224 in the center, mean and deviation of ImageNet."""
    maps = image.permute(2, 0, 1).unsqueeze(0)
    scale = SHORTER_SIDE / min(maps.shape[2:])
    sides = [round(side * scale) for side in maps.shape[2:]]
    maps = nn.functional.interpolate(maps, size=sides, mode="bilinear", antialias=True)
    top, left = ((side - SIZE) // 2 for side in sides)
    maps = maps[:, :, top : top + SIZE, left : left + SIZE].float() / 255
    maps = (maps - MEAN.view(1, 3, 1, 1)) / DEVIATION.view(1, 3, 1, 1)
    return maps.contiguous(memory_format=torch.channels_last)


def search(decoder, image, beam, words):
    """The most probable sequence of so many words; none ends before, as markers are forbidden."""
    hidden = image.shape[1]
    state = torch.zeros(1, hidden), torch.zeros(1, hidden)
    scores, last, found = torch.zeros(1), torch.tensor([START]), torch.zeros(1, 0, dtype=torch.long)
    for _ in range(words):
        log_probabilities, state = decoder.step(image.expand(len(last), -1), last, state)
        log_probabilities[:, :FIRST_WORD] = -torch.inf
        totals = scores.unsqueeze(1) + log_probabilities
        scores, places = totals.flatten().topk(beam)
        before, last = places // totals.shape[1], places % totals.shape[1]
        found = torch.cat([found[before], last.unsqueeze(1)], 1)
        state = state[0][before], state[1][before]
    return found[scores.argmax()].tolist()


def prepare(order):
    torch.set_num_threads(order["threads"])
    torch.manual_seed(1)
    network = NETWORKS[order["network"]]().eval().to(memory_format=torch.channels_last)
    decoder = Merge(order["hidden"], order["vocabulary"]).eval()
    path, at_hand = order["image"], image_at(None)

    def caption():
        with torch.inference_mode():
            image = at_hand if path is None else image_at(path)
            features = network(pixels_of(image)).mean((2, 3))
            found = search(decoder, decoder.see(features), order["beam"], order["words"])
            assert len(found) == order["words"]

    return lambda: [caption() for _ in range(order["captions"])]


if __name__ == "__main__":
    serve(prepare)
