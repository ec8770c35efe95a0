"""The workloads of `gpu_check bench` in PyTorch: prints the rate, and mebibytes of GPU memory.

  gpu_check_torch.py WORK     vgg16, mobilenet_v2, merge or inject
"""

import subprocess
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "benches" / "peers"))

import torch
from networks_torch import NETWORKS
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

IMAGES, CAPTIONS, HIDDEN, WORDS, CHANNELS = 64, 256, 512, 7337, 512
WARM_UP, START, FIRST_WORD = 3, 1, 4


def memory_used():
    """By the driver, as for Cutline."""
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return float(subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0])


def rate(rounds, work):
    for _ in range(WARM_UP):
        work()
    torch.cuda.synchronize()
    start = time.perf_counter()
    count = sum(work() for _ in range(rounds))
    torch.cuda.synchronize()
    return count / (time.perf_counter() - start)


def features(name, rounds):
    network = NETWORKS[name]().eval().cuda().to(memory_format=torch.channels_last)
    images = (torch.rand(IMAGES, 3, 224, 224) * 2 - 1).contiguous(memory_format=torch.channels_last)

    def work():
        with torch.inference_mode():
            network(images.cuda()).mean((2, 3)).cpu()
        return IMAGES

    return rate(rounds, work)


class Decoder(nn.Module):
    """Merge: the image is added to the LSTM's output. Inject: it is the LSTM's first input."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.image = nn.Linear(CHANNELS, HIDDEN)
        self.embedding = nn.Embedding(WORDS, HIDDEN)
        self.lstm = nn.LSTM(HIDDEN, HIDDEN)
        self.joint = nn.Linear(HIDDEN, HIDDEN)
        self.output = nn.Linear(HIDDEN, WORDS)
        self.dropout = nn.Dropout(0.5)

    def forward(self, features, batch):
        words = self.dropout(self.embedding(batch.inputs))
        if self.kind == "merge":
            image = torch.relu(self.image(self.dropout(features)))
            text = self.lstm(PackedSequence(words, batch.sizes))[0].data
            return self.output(self.dropout(torch.relu(self.joint(image[batch.image_of_rows] + text))))
        sizes = torch.cat([batch.sizes[:1], batch.sizes])
        text = self.lstm(PackedSequence(torch.cat([self.image(features), words]), sizes))[0].data
        return self.output(self.dropout(text[CAPTIONS:]))


class Batch:
    """The captions of `gpu_check`: 7 to 14 words, packed."""

    def __init__(self):
        lengths = sorted((8 + caption % 8 for caption in range(CAPTIONS)), reverse=True)
        targets = [torch.randint(FIRST_WORD, WORDS, (length,)) for length in lengths]
        inputs = pack_sequence([torch.cat([torch.tensor([START]), words[:-1]]) for words in targets])
        self.inputs, self.sizes = inputs.data.cuda(), inputs.batch_sizes
        self.targets = pack_sequence(targets).data.cuda()
        self.image_of_rows = torch.cat([torch.arange(live) for live in self.sizes.tolist()]).cuda()


def training(kind, rounds):
    model, batch = Decoder(kind).cuda(), Batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    images = torch.rand(CAPTIONS, CHANNELS)

    def work():
        optimizer.zero_grad(set_to_none=True)
        loss_of(model(images.cuda(), batch), batch.targets).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        return len(batch.targets)

    return rate(rounds, work)


WORKS = {
    "vgg16": lambda: features("vgg16", 20),
    "mobilenet_v2": lambda: features("mobilenet_v2", 40),
    "merge": lambda: training("merge", 40),
    "inject": lambda: training("inject", 40),
}

if __name__ == "__main__":
    if sys.argv[1] not in WORKS:
        sys.exit(f"PyTorch is not measured on {sys.argv[1]}")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    before = memory_used()
    print(WORKS[sys.argv[1]](), memory_used() - before)
