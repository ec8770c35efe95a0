"""Writes random weights of every network under the names of its publishers, and what the publishers' own code makes of
images with them.

    pip install torch torchvision timm keras jax h5py safetensors open_clip_torch
    KERAS_BACKEND=jax python make_encoder_reference.py all FOLDER IMAGES...     weights in every form, and features
    CUTLINE_ENCODERS=FOLDER cargo test --release --test reference_encoders -- --nocapture
    KERAS_BACKEND=jax python make_encoder_reference.py fixture                  encoder_reference.json

`all --only NETWORK` writes one network (resnet152 takes half a gigabyte). Run with torch 2.15.0, torchvision 0.29.2,
timm 1.0.31, keras 3.15.1, jax 0.10.2, open_clip_torch 3.3.0 and Pillow 13.0.0, on photos of 500x375, 333x500 and 640x427
pixels.

Weights come from a generator that the test of the fixture repeats without Python (src/vision/backbones/generated.rs): see
`uniform` and `values`.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
from PIL import Image

# ---------------------------------------------------------------- the generator


def uniform(name, count):
    """Numbers in 0 to 1: SplitMix64 from the FNV-1a hash of the name, its upper 24 bits."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = (state ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(state) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float32) / np.float32(2**24)


def values(name, shape):
    """The values of a tensor: kernels after He et al. 2015, and no statistic that is trivial."""
    u = uniform(name, int(np.prod(shape))).reshape(shape)
    last = name.replace("/", ".").split(".")[-1]
    if last in ("running_var", "moving_variance"):
        return u + np.float32(0.5)
    if last in ("gamma", "layer_scale") or (last == "weight" and len(shape) == 1):
        return u * np.float32(0.5) + np.float32(0.75)
    if last in ("bias", "beta", "running_mean", "moving_mean", "positional_embedding"):
        return (u - np.float32(0.5)) * np.float32(0.4)
    is_keras = "kernel" in last
    inputs = int(np.prod(shape[:-1])) if is_keras and shape[-1] > 1 else int(np.prod(shape[:2] if is_keras else shape[1:]))
    limit = np.float32(np.sqrt(6.0 / inputs))
    return (u * np.float32(2.0) - np.float32(1.0)) * limit


# ---------------------------------------------------------------- PyTorch


def fill(model):
    import torch

    state = model.state_dict()
    for name, tensor in state.items():
        if "num_batches" in name:
            continue
        tensor.copy_(torch.from_numpy(values(name, tuple(tensor.shape))))
    model.load_state_dict(state)
    return model.eval()


def hooked(model, module, pixels):
    """The output of a module, channels last, and the model's."""
    import torch

    seen = []
    handle = model.get_submodule(module).register_forward_hook(lambda _, __, output: seen.append(output))
    with torch.no_grad():
        logits = model(pixels)
    handle.remove()
    return seen[0].permute(0, 2, 3, 1).contiguous().numpy(), logits.numpy()


def torchvision_case(builder, module, weights, relu=False, **arguments):
    import torch
    import torchvision.models

    def build():
        return fill(getattr(torchvision.models, builder)(weights=None, **arguments))

    def run(model, pixels):
        grid, logits = hooked(model, module, pixels)
        return (np.maximum(grid, 0) if relu else grid), logits

    def prepare(paths):
        transform = torchvision.models.get_weight(weights).transforms()
        return torch.stack([transform(Image.open(path).convert("RGB")) for path in paths])

    file = torchvision.models.get_weight(weights).url.split("/")[-1]
    return Torch(build, run, prepare, [file, file.replace(".pth", ".safetensors")])


def timm_case(model_name):
    import timm
    import torch

    def build():
        return fill(timm.create_model(model_name, pretrained=False))

    def run(model, pixels):
        with torch.no_grad():
            grid = model.forward_features(pixels)
            logits = model(pixels)
        return grid.permute(0, 2, 3, 1).contiguous().numpy(), logits.numpy()

    def prepare(paths):
        settings = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(model_name).to_dict())
        transform = timm.data.create_transform(**settings)
        return torch.stack([transform(Image.open(path).convert("RGB")) for path in paths])

    folder = f"models--timm--{model_name}/snapshots/0/"
    return Torch(build, run, prepare, [folder + "model.safetensors", folder + "pytorch_model.bin"])


def clip_case():
    import torch
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.transform import image_transform

    class Clip(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.visual = ModifiedResNet([3, 4, 6, 3], 1024, 32, image_size=224, width=64)

        def forward(self, pixels):
            return self.visual(pixels)

    def build():
        return fill(Clip())

    def run(model, pixels):
        return hooked(model, "visual.layer4", pixels)

    def prepare(paths):
        transform = image_transform(224, is_train=False)
        return torch.stack([transform(Image.open(path).convert("RGB")) for path in paths])

    return Torch(build, run, prepare, ["RN50.pt", "open_clip_model.safetensors"])


class Torch:
    def __init__(self, build, run, prepare, files):
        self.build, self.run, self.prepare, self.files = build, run, prepare, files

    def save(self, model, path):
        import torch
        from safetensors.torch import save_file

        state = model.state_dict()
        if path.suffix == ".safetensors":
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
        else:
            torch.save({"state_dict": state} if path.suffix == ".pt" else state, path)

    def channels_last(self, pixels):
        return pixels.permute(0, 2, 3, 1).contiguous().numpy()

    def pixels(self, array):
        import torch

        return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous()


# ---------------------------------------------------------------- Keras


class Keras:
    def __init__(self, module, builder, size, layer, normalizes=False):
        self.module, self.builder, self.size, self.layer = module, builder, size, layer
        self.normalizes = normalizes
        self.files = [builder.lower() + end for end in (".h5", ".weights.h5", ".keras")]

    def build(self):
        import keras

        keras.backend.clear_session()
        module = getattr(keras.applications, self.module)
        model = getattr(module, self.builder)(weights=None, classifier_activation=None)
        for layer in model.layers:
            named = self.renumbered(layer)
            if layer.name == "normalization":
                mean, variance = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]) ** 2
                layer.set_weights([mean, variance, np.array(0)])
                layer.finalize_state()
                continue
            names = [self.tensor(layer, weight) for weight in layer.weights]
            layer.set_weights(
                [values(f"{named}/{name}", tuple(weight.shape)) for name, weight in zip(names, layer.weights)]
            )
        return model

    @staticmethod
    def renumbered(layer):
        """Layers without names of their own are numbered in the order in which they were made, from one."""
        import keras

        for kind, prefix in ((keras.layers.Conv2D, "conv2d"), (keras.layers.BatchNormalization, "batch_normalization")):
            if type(layer) is kind and layer.name.startswith(prefix):
                number = layer.name[len(prefix) + 1 :]
                return f"{prefix}_{int(number or 0) + 1}"
        return layer.name

    @staticmethod
    def tensor(layer, weight):
        import keras

        is_depthwise = type(layer) is keras.layers.DepthwiseConv2D and weight.name == "kernel"
        return "depthwise_kernel" if is_depthwise else weight.name

    def prepare(self, paths):
        import keras

        module = getattr(keras.applications, self.module)
        images = [keras.utils.load_img(path, target_size=(self.size, self.size)) for path in paths]
        return module.preprocess_input(np.stack([keras.utils.img_to_array(image) for image in images]))

    def run(self, model, pixels):
        import keras

        outputs = [model.get_layer(self.layer).output, model.output]
        grid, logits = keras.Model(model.input, outputs).predict(pixels, verbose=0)
        return grid, logits

    def save(self, model, path):
        if path.name.endswith(".weights.h5"):
            model.save_weights(path)
        else:
            model.save(path)

    def channels_last(self, pixels):
        if not self.normalizes:
            return pixels
        mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
        return (pixels / np.float32(255.0) - mean) / std

    def pixels(self, array):
        if not self.normalizes:
            return array
        mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
        return (array * std + mean) * np.float32(255.0)


# ---------------------------------------------------------------- networks

V = "{}_Weights.IMAGENET1K_V{}"


def cases():
    """(network, source, how the case is made, whether it is in the fixture); one at a time, since they are large."""
    tv, timm, keras = torchvision_case, timm_case, Keras
    for depth in (50, 101, 152):
        name, first = f"resnet{depth}", depth == 50
        yield name, "torchvision", lambda: tv(name, "layer4", V.format(f"ResNet{depth}", 1)), first
        yield name, "torchvision_v2", lambda: tv(name, "layer4", V.format(f"ResNet{depth}", 2)), False
        yield name, "timm", lambda: timm(name), False
        yield name, "keras", lambda: keras("resnet", f"ResNet{depth}", 224, "conv5_block3_out"), first
    yield "vgg19", "torchvision", lambda: tv("vgg19", "features", V.format("VGG19", 1)), False
    yield "vgg19", "timm", lambda: timm("vgg19"), False
    yield "vgg19", "keras", lambda: keras("vgg19", "VGG19", 224, "block5_pool"), False
    yield "vgg16_bn", "torchvision", lambda: tv("vgg16_bn", "features", V.format("VGG16_BN", 1)), False
    yield "vgg16_bn", "timm", lambda: timm("vgg16_bn"), False
    for variant, size in enumerate((224, 240, 260, 300)):
        name, first = f"efficientnet_b{variant}", variant == 0
        enum = f"EfficientNet_B{variant}"
        yield name, "torchvision", lambda: tv(name, "features", V.format(enum, 1)), first
        if variant == 1:
            yield name, "torchvision_v2", lambda: tv(name, "features", V.format(enum, 2)), False
        yield name, "timm", lambda: timm(name), first
        yield name, "keras", lambda: keras("efficientnet", f"EfficientNetB{variant}", size, "top_activation", True), first
        yield f"tf_{name}", "timm", lambda: timm(f"tf_{name}"), first
    for depth in (121, 201):
        name, first = f"densenet{depth}", depth == 121
        yield name, "torchvision", lambda: tv(name, "features", V.format(f"DenseNet{depth}", 1), relu=True), first
        yield name, "keras", lambda: keras("densenet", f"DenseNet{depth}", 224, "relu"), first
    yield "inception_v3", "torchvision", lambda: tv(
        "inception_v3", "Mixed_7c", V.format("Inception_V3", 1), transform_input=True, init_weights=False
    ), True
    yield "inception_v3", "keras", lambda: keras("inception_v3", "InceptionV3", 299, "mixed10"), False
    name = "mobilenet_v3_large"
    yield name, "torchvision", lambda: tv(name, "features", V.format("MobileNet_V3_Large", 1)), True
    yield name, "torchvision_v2", lambda: tv(name, "features", V.format("MobileNet_V3_Large", 2)), False
    yield name, "timm", lambda: timm("mobilenetv3_large_100"), True
    yield "convnext_tiny", "torchvision", lambda: tv("convnext_tiny", "features", V.format("ConvNeXt_Tiny", 1)), True
    yield "convnext_tiny", "timm", lambda: timm("convnext_tiny"), True
    yield "xception", "timm", lambda: timm("legacy_xception"), True
    yield "clip_resnet50", "openai", lambda: clip_case(), True


# ---------------------------------------------------------------- the two commands


def write_all(folder, paths, only):
    from safetensors.numpy import save_file

    (Path(folder) / "images").mkdir(parents=True, exist_ok=True)
    for path in paths:
        shutil.copy(path, Path(folder) / "images")
    for network, source, make, _ in cases():
        if only and network not in only:
            continue
        case = make()
        place = Path(folder) / f"{network}@{source}"
        model = case.build()
        pixels = case.prepare(paths)
        grid, logits = case.run(model, pixels)
        for file in case.files:
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            case.save(model, place / file)
        inputs = transformed(model, case.channels_last(pixels))
        pooled = grid.mean(axis=(1, 2))
        spread = np.linalg.norm(pooled - pooled.mean(axis=0)) / np.linalg.norm(pooled)
        print(f"{network:20} {source:15} {grid.shape} spread {spread:.4f} size {np.abs(grid).mean():.3g}", flush=True)
        arrays = {"inputs": inputs, "grid": grid, "logits": logits}
        save_file({name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}, place / "reference")


def transformed(model, inputs):
    """The inputs after the change of mean and deviation that torchvision's Inception makes itself."""
    if not getattr(model, "transform_input", False):
        return inputs
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    return (inputs * std + mean) * 2 - 1


def write_fixture():
    rows = []
    for network, source, make, is_in in cases():
        if not is_in:
            continue
        case = make()
        model = case.build()
        if hasattr(model, "transform_input"):
            model.transform_input = False
        size = case.size if isinstance(case, Keras) else case.prepare([blank()]).shape[-1]
        array = uniform("pixels", size * size * 3).reshape(1, size, size, 3) * np.float32(2.0) - np.float32(1.0)
        grid, logits = case.run(model, case.pixels(array))
        pooled = grid.mean(axis=(0, 1, 2))
        step = len(pooled) // 32
        rows.append(
            {
                "network": network,
                "source": source,
                "size": int(size),
                "pooled": [float(f"{value:.7g}") for value in pooled[::step][:32]],
                "logits": [float(f"{value:.7g}") for value in logits[0][:: len(logits[0]) // 40][:40]],
                "top": np.argsort(-logits[0])[:5].tolist(),
            }
        )
        print(network, source, flush=True)
    lines = ",\n".join(json.dumps(row) for row in rows)
    (Path(__file__).parent / "encoder_reference.json").write_text(f"[\n{lines}\n]\n")


def blank():
    path = Path(tempfile.mkdtemp()) / "blank.png"
    Image.new("RGB", (320, 320)).save(path)
    return path


if __name__ == "__main__":
    if sys.argv[1] == "fixture":
        write_fixture()
    else:
        arguments = sys.argv[2:]
        only = []
        while "--only" in arguments:
            at = arguments.index("--only")
            only.append(arguments.pop(at + 1))
            arguments.pop(at)
        write_all(arguments[0], arguments[1:], only)
