"""Reads the folder of `cutline pack --format hf` with Hugging Face's own libraries.

    pip install huggingface_hub safetensors torch
    cutline pack RUN --format hf --out FOLDER --license mit --language en
    python check_hub.py FOLDER

Prints the model card's metadata, its results and the tensors. Run with huggingface_hub 2.4.0 and safetensors 0.8.0.
"""

import json
import sys
from pathlib import Path

from huggingface_hub import ModelCard
from safetensors import safe_open

folder = Path(sys.argv[1])
data = ModelCard.load(folder / "README.md").data
print(data.license, data.language, data.pipeline_tag, data.tags, data.datasets, data.metrics)
for result in data.eval_results or []:
    print(result.dataset_name, result.dataset_split, result.metric_name, result.metric_value)
    assert result.task_type == "image-to-text" and 0 <= result.metric_value
config = json.loads((folder / "config.json").read_text())
assert config["model_type"] == "cutline"
words = (folder / "vocabulary.txt").read_text().splitlines()
with safe_open(folder / "model.safetensors", "pt") as file:
    names = list(file.keys())
    print(len(names), "tensors,", sum(name.startswith("cnn.") for name in names), "of the CNN")
    assert file.get_tensor("output.bias").shape == (1, len(words) + 4) == (1, config["model"]["vocabulary"])
