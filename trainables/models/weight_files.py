"""Read files of weights without executing code: safetensors, torch's, and shards of either."""

import argparse
import re
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile, is_zipfile

import torch

from trainables.models.weights_name import INDEX, files_of, read_index

GLOBAL: Final = re.compile(r"Unsupported (?:global: GLOBAL|class) (\S+)")
"""What torch says of an object that it does not load."""


def read_content(path: Path) -> Any:
    """Read what a file of weights holds; of an index, all shards as one dict.

    Raises ValueError naming the file, what it holds, and the cure.
    """
    if not path.name.endswith(INDEX):
        return _read_one(path)
    index = read_index(path)
    whole: dict[str, Any] = {}
    for shard in files_of(path)[1:]:
        content = _read_one(shard)
        whole |= content if isinstance(content, dict) else {}
    if whole.keys() != index.keys():
        wrong = sorted(map(str, whole.keys() ^ index.keys()))
        raise ValueError(
            f"{path}: {len(wrong)} entries are not both in weight_map and in its files, first "
            f"{wrong[0]!r}; download them again"
        )
    return whole


def _read_one(path: Path) -> Any:
    if _is_torchscript(path):
        raise ValueError(
            f"{path}: is a TorchScript archive, which is a program; save its weights with "
            "torch.save(torch.jit.load(FILE).state_dict(), NEW)"
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file  # what builds backbones alone can do without

            # Copied, since it maps the file, which may be replaced.
            return {name: value.clone() for name, value in load_file(path).items()}
        with torch.serialization.safe_globals([argparse.Namespace]):  # options of training scripts
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # every reader has its own errors; all mean the same to the user
        raise ValueError(f"{path}: {_refusal(error)}") from error


def _refusal(error: Exception) -> str:
    """Say why a file can't be read, and how to make one that can."""
    cause = (
        f"not a readable state dict ({type(error).__name__}); save it with safetensors, or "
        "torch.save(model.state_dict(), FILE)"
    )
    found = GLOBAL.search(str(error))
    if found is None:
        return cause
    return (
        f"{cause}. It holds {found[1][:100]}, which is not loaded, since that can execute code; of "
        "a checkpoint that you trust: "
        "torch.save(torch.load(FILE, weights_only=False)['state_dict'], NEW)"
    )


def _is_torchscript(path: Path) -> bool:
    try:
        if not is_zipfile(path):
            return False
        with ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except Exception:  # a damaged archive has errors of many kinds
        return False
