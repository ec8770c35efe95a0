"""Checks that `cutline features` reads weights as PyTorch, timm, safetensors and Keras 3 really write them.

Each network has seeded random weights with plausible statistics of batch normalization. It is saved in every form below,
`cutline features` extracts the features of one image from each file, and they are compared with those of the framework.
Nothing is downloaded. The files take up to 600 MB at a time in a temporary directory.

    pip install torch torchvision timm safetensors huggingface_hub keras jax h5py pillow
    cargo build --release
    python tests/data/check_real_weights.py target/release/cutline [PART_OF_A_NAME ...]

Prints a line for each file, then `N passed, N failed`. Written with torch 2.15, torchvision 0.29, timm 1.0.31,
safetensors 0.8 and Keras 3.15 on jax.
"""

import argparse
import collections
import datetime
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import warnings

os.environ["KERAS_BACKEND"] = "jax"
warnings.filterwarnings("ignore")

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.numpy import load_file
from safetensors.torch import save_file, save_model

# Half precision moves features by about this much, relative to the largest.
TOLERANCES = {"half": 2e-2, "bfloat16": 1e-1}
TOLERANCE = 2e-3


def seeded(build):
    """The network with seeded weights, and statistics that are not the initial ones."""
    torch.manual_seed(7)
    model = build().eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.8, 1.2)
            module.bias.data.normal_(0, 0.1)
    return model


def torchvision_values(pixels):
    return (pixels / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])


def lite_values(pixels):
    return (pixels - 127) / 128


def pooled(features):
    return lambda model, images: features(model, images).mean((2, 3))[0].numpy()


def timm_network(name):
    import timm

    return lambda: timm.create_model(name, pretrained=False)


# backbone, builder, image size, values of pixels, features, layer, and whether all forms are checked.
TORCH = {
    "torchvision mobilenet_v2": (
        "mobilenet_v2", torchvision.models.mobilenet_v2, 224, torchvision_values,
        pooled(lambda model, images: model.features(images)), "features", True,
    ),
    "torchvision vgg16": (
        "vgg16", torchvision.models.vgg16, 224, torchvision_values,
        pooled(lambda model, images: model.features(images)), "block5_pool", False,
    ),
    "timm mobilenetv2_100": (
        "mobilenet_v2", timm_network("mobilenetv2_100"), 224, torchvision_values,
        pooled(lambda model, images: model.forward_features(images)), "features", True,
    ),
    "timm vgg16": (
        "vgg16", timm_network("vgg16"), 224, torchvision_values,
        pooled(lambda model, images: model.features(images)), "block5_pool", False,
    ),
    "timm tf_efficientnet_lite0": (
        "efficientnet_lite0", timm_network("tf_efficientnet_lite0"), 224, lite_values,
        pooled(lambda model, images: model.forward_features(images)), "features", False,
    ),
    "timm tf_efficientnet_lite1": (
        "efficientnet_lite1", timm_network("tf_efficientnet_lite1"), 240, lite_values,
        pooled(lambda model, images: model.forward_features(images)), "features", False,
    ),
    "timm tf_efficientnet_lite2": (
        "efficientnet_lite2", timm_network("tf_efficientnet_lite2"), 260, lite_values,
        pooled(lambda model, images: model.forward_features(images)), "features", False,
    ),
}


class Mode(str):
    """A class that only the training script has."""


def prefixed(state, prefix):
    return collections.OrderedDict((prefix + name, value) for name, value in state.items())


def other(state):
    """The same names with other weights, as of a moving average."""
    return {name: value * 0.9 if value.is_floating_point() else value for name, value in state.items()}


def optimizer_of(model):
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    return optimizer.state_dict()


def one_storage(state):
    """All tensors as views of one long tensor."""
    floats = {name: value for name, value in state.items() if value.is_floating_point()}
    flat = torch.cat([value.flatten() for value in floats.values()])
    views, at = {}, 0
    for name, value in floats.items():
        views[name] = flat[at : at + value.numel()].view(value.shape)
        at += value.numel()
    return views


def transposed(state):
    """The same values in another order of the memory."""
    def other_order(value):
        if value.dim() == 4:
            return value.to(memory_format=torch.channels_last)
        return value.T.contiguous().T if value.dim() == 2 else value

    return {name: other_order(value) for name, value in state.items()}


def torch_forms(model):
    """Names of files, and how to write each."""
    state = model.state_dict()
    arguments = argparse.Namespace(lr=0.1, data=pathlib.Path("/data"), mode=Mode("x"), started=datetime.datetime(2024, 5, 1))
    training = {
        "optimizer": optimizer_of(model),
        "args": arguments,
        "epoch": np.int64(3),
        "best": np.float32(0.7),
        "losses": np.zeros(5),
        "history": collections.defaultdict(list, loss=[1.0]),
        "rng": (torch.get_rng_state(), np.random.get_state(), random.getstate()),
        "scheduler": {"milestones": collections.Counter([3, 3, 6]), "set": {1, 2}, "device": torch.device("cpu")},
        "dtype": torch.float32,
        "size": torch.Size([3, 4]),
    }
    averaged = torch.optim.swa_utils.AveragedModel(model).state_dict()
    compiled = torch.compile(model).state_dict()
    parallel = torch.nn.DataParallel(model).state_dict()
    lightning = {
        "epoch": 1, "global_step": 9, "pytorch-lightning_version": "2.2.0", "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [training["optimizer"]], "lr_schedulers": [], "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 0.1}, "state_dict": prefixed(state, "model.") | {"loss.weight": torch.ones(3)},
    }

    def torch_saved(content, **options):
        return lambda path: torch.save(content, path, **options)

    def sharded(path):
        from huggingface_hub import save_torch_state_dict

        folder = path.with_suffix("")
        folder.mkdir()
        save_torch_state_dict({n: v.contiguous() for n, v in state.items()}, folder, max_shard_size="5MB")
        return folder / "model.safetensors.index.json"

    return {
        "state_dict.pth": torch_saved(state),
        "checkpoint.pth.tar": torch_saved({"model": state, **training}),
        "protocol_4.pth": torch_saved({"model": state, **training}, pickle_protocol=4),
        "legacy.pth": torch_saved(state, _use_new_zipfile_serialization=False),
        "legacy_checkpoint.pth": torch_saved({"net": state, **training}, _use_new_zipfile_serialization=False),
        "data_parallel.pth": torch_saved({"state_dict": parallel}),
        "compiled.pth": torch_saved(compiled),
        "compiled_parallel.pth": torch_saved(prefixed(compiled, "module.")),
        "lightning.ckpt": torch_saved(lightning),
        "ema.pth": torch_saved({"state_dict": state, "state_dict_ema": other(state), **training}),
        "ema_shadow.pth": torch_saved({"model": state, "ema": {"decay": 0.99, "shadow": other(dict(model.named_parameters()))}}),
        "averaged.pth": torch_saved(averaged),
        "teacher.pth": torch_saved(prefixed(state, "student.backbone.") | prefixed(other(state), "teacher.backbone.")),
        "two_towers.pth": torch_saved(
            prefixed(state, "visual.") | {"text.embedding.weight": torch.randn(50, 8), "logit_scale": torch.ones([])}
        ),
        "parameters.pth": torch_saved(dict(model.named_parameters()) | dict(model.named_buffers())),
        "whole_model.pth": torch_saved(model),
        "sequential.pth": torch_saved(torch.nn.Sequential(*model.children()).state_dict()),
        "half.pth": torch_saved({name: value.half() for name, value in state.items()}),
        "bfloat16.pth": torch_saved({n: v.bfloat16() if v.is_floating_point() else v for n, v in state.items()}),
        "double.pth": torch_saved({n: v.double() if v.is_floating_point() else v for n, v in state.items()}),
        "channels_last.pth": torch_saved(transposed(state)),
        "one_storage.pth": torch_saved(one_storage(state)),
        "one_storage_legacy.pth": torch_saved(one_storage(state), _use_new_zipfile_serialization=False),
        "model.safetensors": lambda path: save_model(model, path),
        "half.safetensors": lambda path: save_file({n: v.half().contiguous() for n, v in state.items()}, path),
        "bfloat16.safetensors": lambda path: save_file({n: v.bfloat16().contiguous() for n, v in state.items()}, path),
        "sharded.safetensors": sharded,
        "arrays.npz": lambda path: np.savez(path, **{name: value.numpy() for name, value in state.items()}),
    }


# Forms for the networks whose files are large.
FEW = ["checkpoint.pth.tar", "legacy.pth", "lightning.ckpt", "sharded.safetensors"]


def keras_networks():
    import keras

    def seeded_keras(build):
        keras.utils.set_random_seed(7)
        model = build()
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                draw = np.random.default_rng(len(layer.name))
                n = layer.gamma.shape[0]
                layer.set_weights([draw.uniform(0.8, 1.2, n), draw.normal(0, 0.1, n), draw.normal(0, 0.1, n), draw.uniform(0.5, 1.5, n)])
        return model

    def caffe(pixels):
        return pixels[..., ::-1] - np.array([103.939, 116.779, 123.68])

    for name, backbone, build, size, values, layer in [
        ("keras VGG16", "vgg16", keras.applications.VGG16, 224, caffe, "block5_pool"),
        ("keras Xception", "xception", keras.applications.Xception, 299, lambda p: p / 127.5 - 1, "block14_sepconv2_act"),
    ]:
        model = seeded_keras(lambda: build(weights=None, include_top=False, input_shape=(size, size, 3)))
        features = lambda images, model=model: np.asarray(model(images)).mean((1, 2))[0]
        yield name, backbone, model, size, values, features, layer


def keras_forms(model):
    import keras

    def with_head():
        inputs = keras.Input(model.input_shape[1:])
        pooled = keras.layers.GlobalAveragePooling2D()(model(inputs))
        whole = keras.Model(inputs, keras.layers.Dense(10, name="classes")(pooled))
        whole.compile("adam", "mse")
        whole.optimizer.build(whole.trainable_variables)
        return whole

    def sequential():
        return keras.Sequential([model, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)])

    return {
        "model.weights.h5": model.save_weights,
        "model.keras": model.save,
        "model.h5": model.save,
        "head.keras": lambda path: with_head().save(path),
        "head.weights.h5": lambda path: with_head().save_weights(path),
        "head.h5": lambda path: with_head().save(path),
        "sequential.keras": lambda path: sequential().save(path),
        "sequential.weights.h5": lambda path: sequential().save_weights(path),
    }


def extract(cutline, backbone, layer, weights, image, folder):
    out = folder / "features.safetensors"
    command = [cutline, "features", image, "--backbone", backbone, "--weights", weights, "--layer", layer, "--out", out]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return None, done.stderr.strip().splitlines()[-1]
    return next(iter(load_file(out).values())), " | ".join(line for line in done.stderr.splitlines() if str(weights) in line)


def cases(wanted):
    """Networks, each with its forms."""
    is_wanted = lambda name: not wanted or any(part in name for part in wanted)
    for name, (backbone, build, size, values, features, layer, is_full) in TORCH.items():
        if not is_wanted(name):
            continue
        model = seeded(build)
        forms = torch_forms(model)

        def expected(pixels, model=model, features=features, values=values):
            images = torch.tensor(values(pixels), dtype=torch.float32).permute(2, 0, 1)[None]
            with torch.no_grad():
                return features(model, images)

        yield name, backbone, layer, size, expected, {form: forms[form] for form in (forms if is_full else FEW)}
    if is_wanted("keras"):
        for name, backbone, model, size, values, features, layer in keras_networks():
            expected = lambda pixels: features(values(pixels).astype("float32")[None])
            yield name, backbone, layer, size, expected, keras_forms(model)


def main():
    cutline, *wanted = sys.argv[1:]
    passed, failed, largest = 0, 0, 0.0
    for name, backbone, layer, size, expected, forms in cases(wanted):
        pixels = np.random.default_rng(1).integers(0, 256, (size, size, 3)).astype("uint8")
        expected = expected(pixels.astype("float64"))
        for form, write in forms.items():
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                image, path = folder / "image.png", folder / form
                Image.fromarray(pixels).save(image)
                path = write(path) or path
                found, said = extract(cutline, backbone, layer, path, image, folder)
                said = said.replace(str(folder) + "/", "")
            if found is None:
                failed += 1
                print(f"FAILED  {name:28} {form:24} {said}")
                continue
            difference = float(np.abs(found.ravel() - expected).max() / np.abs(expected).max())
            is_close = difference < TOLERANCES.get(form.split(".")[0], TOLERANCE)
            passed, failed = passed + is_close, failed + (not is_close)
            if form.split(".")[0] not in TOLERANCES:
                largest = max(largest, difference)
            print(f"{'ok' if is_close else 'DIFFERS':7} {name:28} {form:24} {difference:.1e}  {said}", flush=True)
    print(f"largest relative difference in full precision: {largest:.1e}")
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
