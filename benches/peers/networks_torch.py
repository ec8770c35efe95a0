"""The backbones in PyTorch, up to the map that captions are made of, with random weights."""

from functools import partial

from torch import nn
from torch.nn import functional


def normalization(channels):
    """Adds one, so that random weights do not let numbers dwindle from layer to layer: very small ones are slow."""
    norm = nn.BatchNorm2d(channels)
    nn.init.ones_(norm.bias)
    return norm


def normalized(inputs, outputs, size=1, stride=1, groups=1, activation=nn.ReLU6):
    layers = [
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
        normalization(outputs),
    ]
    return nn.Sequential(*layers, *([activation(inplace=True)] if activation else []))


def vgg16():
    """Configuration D of Simonyan & Zisserman 2014."""
    layers, inputs = [], 3
    for convolutions, outputs in [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]:
        for _ in range(convolutions):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class Bottleneck(nn.Module):
    """Expand, convolve depthwise, project; a shortcut around it where the shapes allow."""

    def __init__(self, inputs, outputs, expansion, size, stride):
        super().__init__()
        wide = inputs * expansion
        expand = [normalized(inputs, wide)] if expansion > 1 else []
        self.layers = nn.Sequential(
            *expand,
            normalized(wide, wide, size, stride, groups=wide),
            normalized(wide, outputs, activation=None),
        )
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, maps):
        return maps + self.layers(maps) if self.shortcut else self.layers(maps)


def bottlenecks(stem, rows, head):
    """Rows of (expansion, outputs, repeats, size, stride); the first of a row's repeats has the stride."""
    layers, inputs = [normalized(3, stem, 3, 2)], stem
    for expansion, outputs, repeats, size, stride in rows:
        for repeat in range(repeats):
            layers.append(Bottleneck(inputs, outputs, expansion, size, 1 if repeat else stride))
            inputs = outputs
    return nn.Sequential(*layers, normalized(inputs, head))


def mobilenet_v2():
    """Table 2 of Sandler et al. 2018."""
    rows = [
        (1, 16, 1, 3, 1),
        (6, 24, 2, 3, 2),
        (6, 32, 3, 3, 2),
        (6, 64, 4, 3, 2),
        (6, 96, 3, 3, 1),
        (6, 160, 3, 3, 2),
        (6, 320, 1, 3, 1),
    ]
    return bottlenecks(32, rows, 1280)


def efficientnet_lite(width, depth):
    """Table 1 of Tan & Le 2019 without squeeze and excitation, as released for small devices: `width` channels and
    `depth` repeats for ten of Lite0's, but for the ends."""
    rows = [
        (1, 16, 1, 3, 1),
        (6, 24, 2, 3, 2),
        (6, 40, 2, 5, 2),
        (6, 80, 3, 3, 2),
        (6, 112, 3, 5, 1),
        (6, 192, 4, 5, 2),
        (6, 320, 1, 3, 1),
    ]

    def scaled(place, row):
        expansion, outputs, repeats, size, stride = row
        is_end = place in (0, len(rows) - 1)
        channels = (outputs * width + 40) // 80 * 8
        return expansion, channels, repeats if is_end else -(-repeats * depth // 10), size, stride

    return bottlenecks(32, [scaled(place, row) for place, row in enumerate(rows)], 1280)


def separable(inputs, outputs):
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
        normalized(inputs, outputs, activation=None),
    )


class Separables(nn.Module):
    """Separable convolutions, each after a ReLU, and a shortcut; halves the map where the width changes."""

    def __init__(self, widths, halves, starts_rectified=False):
        super().__init__()
        layers = []
        for inputs, outputs in zip(widths, widths[1:]):
            layers += [nn.ReLU(), separable(inputs, outputs)]
        layers = layers[1:] if starts_rectified else layers
        self.layers = nn.Sequential(*layers, *([nn.MaxPool2d(3, 2, 1)] if halves else []))
        self.shortcut = normalized(widths[0], widths[-1], 1, 2, activation=None) if halves else nn.Identity()

    def forward(self, maps):
        return self.shortcut(maps) + self.layers(maps)


class Rectified(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, maps):
        return functional.relu(self.layer(maps), inplace=True)


def xception():
    """Figure 5 of Chollet 2017."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, 2, bias=False),
        normalization(32),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 3, bias=False),
        normalization(64),
        nn.ReLU(inplace=True),
        Separables([64, 128, 128], halves=True, starts_rectified=True),
        Separables([128, 256, 256], halves=True),
        Separables([256, 728, 728], halves=True),
        *[Separables([728] * 4, halves=False) for _ in range(8)],
        Separables([728, 728, 1024], halves=True),
        Rectified(separable(1024, 1536)),
        Rectified(separable(1536, 2048)),
    )


def torchvision_features(name):
    """A network of torchvision without its classifier."""
    import torchvision.models

    arguments = {"init_weights": False} if name == "inception_v3" else {}
    network = getattr(torchvision.models, name)(weights=None, **arguments)
    if name == "inception_v3":
        network.AuxLogits = None
        network.aux_logits = False
    for head in ("classifier", "fc", "avgpool"):
        if hasattr(network, head):
            setattr(network, head, nn.Identity())
    return network


def clip_resnet50():
    from open_clip.modified_resnet import ModifiedResNet

    network = ModifiedResNet([3, 4, 6, 3], 1024, 32, image_size=224, width=64)
    network.attnpool = nn.Identity()
    return network


TORCHVISION = [
    "vgg16_bn",
    "vgg19",
    "resnet50",
    "resnet101",
    "resnet152",
    "densenet121",
    "densenet201",
    "inception_v3",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "convnext_tiny",
]

NETWORKS = {
    **{name: partial(torchvision_features, name) for name in TORCHVISION},
    # The same work, padded in another way.
    **{f"tf_efficientnet_b{number}": partial(torchvision_features, f"efficientnet_b{number}") for number in range(4)},
    "clip_resnet50": clip_resnet50,
    "vgg16": vgg16,
    "mobilenet_v2": mobilenet_v2,
    "xception": xception,
    "efficientnet_lite0": partial(efficientnet_lite, 10, 10),
    "efficientnet_lite1": partial(efficientnet_lite, 10, 11),
    "efficientnet_lite2": partial(efficientnet_lite, 11, 12),
}
