"""Features of batches of images in PyTorch: a backbone as it is usually run on a CPU, channels last."""

import torch
from networks_torch import NETWORKS
from serve import serve


def prepare(order):
    torch.set_num_threads(order["threads"])
    torch.manual_seed(1)
    network = NETWORKS[order["network"]]().eval().to(memory_format=torch.channels_last)
    images = torch.rand(order["batch"], 3, order["size"], order["size"]) * 2 - 1
    images = images.contiguous(memory_format=torch.channels_last)

    def extract():
        with torch.inference_mode():
            for _ in range(order["batches"]):
                network(images)

    return extract


if __name__ == "__main__":
    serve(prepare)
