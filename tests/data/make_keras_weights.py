"""Writes keras/*.h5: the same few tensors as different versions of Keras lay them out, and files that are rejected.

Read by src/vision/weights/hdf5/tests.rs. Run once, with h5py 3.16.0 and ml_dtypes 0.6.0:  python make_keras_weights.py
"""

from pathlib import Path

import h5py
import ml_dtypes
import numpy as np

# Values count up from a different hundred in every tensor.
KERNEL = np.arange(12, dtype="float32").reshape(1, 1, 3, 4)
BIAS = 100 + np.arange(4, dtype="float32")
SHORTCUTS = [200 + np.arange(2, dtype="float32").reshape(1, 1, 1, 2), 300 + np.arange(2, dtype="float32").reshape(1, 1, 1, 2)]
VARIANCE = 400 + np.arange(2, dtype="float32")


def write(group, layers):
    """A group for every layer with the names of its tensors, as Keras' legacy format has it."""
    group.attrs["layer_names"] = [name.encode() for name in layers]
    group.attrs["backend"] = b"tensorflow"
    for layer, tensors in layers.items():
        child = group.create_group(layer)
        child.attrs["weight_names"] = [name.encode() for name in tensors]
        for name, values in tensors.items():
            child.create_dataset(name, data=values)


def variables(file, group, layer, tensors):
    """A layer as Keras 3.15 has it in a .weights.h5: tensors by number, and the layer's name as an attribute."""
    child = file.create_group(group + "/vars")
    child.attrs["name"] = layer
    for number, values in enumerate(tensors):
        dataset = child.create_dataset(str(number), data=values)
        if getattr(values, "dtype", None) == ml_dtypes.bfloat16:
            dataset.attrs["dtype"] = "bfloat16"


def main():
    folder = Path(__file__).parent / "keras"
    folder.mkdir(exist_ok=True)
    keras_1 = {
        "conv": {"conv_W_1:0": KERNEL, "conv_b_1:0": BIAS},
        "convolution2d_1": {"convolution2d_1_W:0": SHORTCUTS[0]},
        "convolution2d_2": {"convolution2d_2_W:0": SHORTCUTS[1]},
        "batchnormalization_1": {"batchnormalization_1_running_std:0": VARIANCE},
        "flatten": {},
    }
    keras_2 = {
        "conv": {"conv_1/kernel:0": KERNEL, "conv_1/bias:0": BIAS},
        "conv2d_9": {"conv2d_9/kernel:0": SHORTCUTS[0]},
        "conv2d_10": {"conv2d_10/kernel:0": SHORTCUTS[1]},
        "batch_normalization": {"batch_normalization/moving_variance:0": VARIANCE},
        "flatten": {},
    }
    with h5py.File(folder / "keras_1.h5", "w") as file:
        write(file, keras_1)
    with h5py.File(folder / "keras_2.h5", "w") as file:
        write(file, keras_2)
    slashed = {
        "conv1/conv": {"conv1/conv/kernel:0": KERNEL},
        "dwconv": {"dwconv/kernel:0": KERNEL[:, :, :, :1]},
    }
    with h5py.File(folder / "slashed.h5", "w") as file:
        write(file, slashed)
    with h5py.File(folder / "saved_model.h5", "w", libver="latest") as file:
        write(file.create_group("model_weights"), keras_2)
        file.create_group("optimizer_weights").create_dataset("iterations:0", data=np.int64(3))
    with h5py.File(folder / "compressed.h5", "w") as file:
        group = file.create_group("conv")
        group.create_dataset("conv/kernel:0", data=KERNEL, chunks=KERNEL.shape, compression="gzip")
    with h5py.File(folder / "named.weights.h5", "w") as file:
        variables(file, "layers/conv2d", "conv", [KERNEL, BIAS])
        variables(file, "layers/separable_conv2d", "separable", [KERNEL, KERNEL, BIAS.astype(">f4")])
        inner = "layers/functional/layers/"
        variables(file, inner + "conv2d", "conv2d_9", SHORTCUTS[:1])
        variables(file, inner + "conv2d_1", "conv2d_10", SHORTCUTS[1:])
        variables(file, inner + "conv2d_2", "half", [np.array([[1, -2, 0.5]], dtype=ml_dtypes.bfloat16)])
        variables(file, inner + "batch_normalization", "batch_normalization_4", [VARIANCE - 2, VARIANCE - 1, VARIANCE])
        variables(file, "layers/functional", "inner", [])
        variables(file, "optimizer", "adam", [np.int64(3), KERNEL])
    with h5py.File(folder / "unnamed.weights.h5", "w") as file:
        for layer in ["conv2d", "conv2d_1"]:
            file.create_dataset(f"layers/{layer}/vars/0", data=BIAS)


if __name__ == "__main__":
    main()
