"""Checks `cutline prepare --features-from` on every form of file that NumPy, h5py and safetensors write.

    python check_features_from.py CUTLINE [WEIGHTS]

Draws `scenes`, takes the features of their images from `cutline features` with the MobileNetV2 in WEIGHTS, or else random ones,
writes them in every form, prepares a dataset from each, trains a run on each, and compares stores, checkpoints' scores and captions.
Run with NumPy 2.4.6, h5py 3.16.0 and safetensors 0.8.0.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import h5py
import numpy as np
from safetensors.numpy import load_file, save_file

IMAGES = 80
SETTINGS = ["training.epochs=2", "decoder.hidden_size=32", "decoder.embedding_size=32", "decoder.attention_size=32"]


def features_of(cutline, root, images, weights):
    if weights is None:
        draw = np.random.default_rng(1)
        return {image.name: draw.normal(size=(3, 3, 24)).astype("f4") for image in images}
    out = root / "drawn.safetensors"
    cutline("features", *images, "--backbone", "mobilenet_v2", "--weights", weights, "--features", "grid", "--out", out)
    return load_file(out)


def write_forms(root, features):
    """The path of each form, and the flags that it needs."""
    stem = {pathlib.Path(name).stem: values for name, values in features.items()}
    names, matrix = list(features), np.stack(list(features.values()))
    regions = {name: values.reshape(-1, values.shape[-1]) for name, values in features.items()}
    save_file(features, root / "st.safetensors")
    np.savez(root / "npz.npz", **features)
    np.savez_compressed(root / "packed.npz", **{name: values[None] for name, values in stem.items()})
    np.savez(root / "f64.npz", **{name: values.astype("f8") for name, values in regions.items()})
    np.savez(root / "fortran.npz", **{name: np.asfortranarray(values) for name, values in features.items()})
    np.save(root / "matrix.npy", matrix)
    (root / "matrix.txt").write_text("\n".join(names))
    np.save(root / "big.npy", matrix.astype(">f4"))
    (root / "names.json").write_text(json.dumps(names))
    with h5py.File(root / "plain.h5", "w") as file:
        for name, values in features.items():
            file[f"images/{name}"] = values
    with h5py.File(root / "gzip.h5", "w") as file:
        for name, values in stem.items():
            file.create_dataset(name, data=values, compression="gzip", chunks=True)
    with h5py.File(root / "rows.h5", "w") as file:
        file.create_dataset("features", data=matrix, chunks=(16, *matrix.shape[1:]))
    folders = {
        "folder_npy": lambda path, values: np.save(f"{path}.npy", values),
        "folder_npz": lambda path, values: np.savez(f"{path}.npz", feat=values, box=np.zeros((9, 4))),
        "folder_st": lambda path, values: save_file({"x": values, "size": np.ones(2)}, f"{path}.safetensors"),
    }
    for folder, write in folders.items():
        (root / folder).mkdir()
        for name, values in stem.items():
            write(root / folder / name, values)
    single = ["st.safetensors", "npz.npz", "packed.npz", "f64.npz", "fortran.npz", "matrix.npy", "plain.h5", "gzip.h5"]
    forms = {name: [] for name in [*single, *folders]}
    listed = ["--feature-names", root / "names.json"]
    return {**forms, "big.npy": listed, "rows.h5": listed}


def write_region_forms(root, features):
    """The same for images of different numbers of regions."""
    draw = np.random.default_rng(2)
    count = lambda: draw.integers(1, 9)
    features = {name: values.reshape(-1, values.shape[-1])[: count()] for name, values in features.items()}
    (root / "regions_folder").mkdir()
    for name, values in features.items():
        np.savez(root / "regions_folder" / f"{name}.npz", feat=values, bbox=np.zeros((len(values), 4)))
    save_file({name: values.copy() for name, values in features.items()}, root / "regions.safetensors")
    np.savez(root / "regions_npz.npz", **features)
    with h5py.File(root / "regions_h5.h5", "w") as file:
        for name, values in features.items():
            file[name] = values
    return dict.fromkeys(["regions.safetensors", "regions_npz.npz", "regions_h5.h5", "regions_folder"], [])


def main(program, weights=None):
    root = pathlib.Path(tempfile.mkdtemp())

    def cutline(*arguments):
        words = [program, *map(str, arguments), "--root", str(root)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stderr}"
        return done.stdout

    scenes = ["prepare", "scenes", "--num-images", IMAGES, "--size", "32"]
    cutline(*scenes, "--name", "drawn")
    features = features_of(cutline, root, sorted((root / "datasets/drawn/images").glob("*.png")), weights)
    results = {}
    forms = {**write_forms(root, features), **write_region_forms(root, features)}
    for form, flags in forms.items():
        name = form.replace(".", "-")
        cutline(*scenes, "--name", name, "--features-from", root / form, *flags)
        (store,) = (root / "datasets" / name / "features").iterdir()
        stored = [(store / file).read_bytes() for file in ("rows.bin", "index.jsonl")]
        settings = [word for setting in SETTINGS for word in ("--set", setting)]
        cutline("train", name, "--run", name, "--decoder", "top-down", *settings)
        report = json.loads(cutline("evaluate", name, "--json"))
        captions = cutline("caption", name, "--features-from", root / form, *flags)
        by_stem = sorted(pathlib.Path(line.split("\t")[0]).stem + line.split("\t")[1] for line in captions.splitlines())
        scores = {name: report[name] for name in ("bleu_1", "bleu_4", "rouge_l", "cider_d")}
        results[form] = (stored, scores, report["captions"], by_stem)
        print(f"{form:20} {len(stored[0]):9} bytes, CIDEr-D {scores['cider_d']:.9f}, {len(by_stem)} captions")
    first, first_regions = results["st.safetensors"], results["regions.safetensors"]
    expected = b"".join(features[f"{json.loads(key)}.png"].astype("<f4").tobytes() for key in first[0][1].splitlines())
    assert first[0][0] == expected, "the store is not what was written"
    for form, result in results.items():
        same = first_regions if form.startswith("regions") else first
        assert result == same, f"{form} differs from safetensors"
    print(f"{len(results)} forms: equal stores, scores and captions")


main(*sys.argv[1:])
