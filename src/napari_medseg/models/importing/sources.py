"""What a user points at when a model is to be added."""

import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_medseg.errors import BundleError
from napari_medseg.models.files import METADATA
from napari_medseg.models.importing.nnunet import is_nnunet
from napari_medseg.models.program import program_kind

Kind = Literal["bundle", "nnunet", "brainchop", "program", "checkpoint", "zip", "zoo", "totalsegmentator"]
ZOO_NAME = re.compile(r"(?:zoo:)?(?P<name>[A-Za-z0-9_-]+(?:@[\d.]+)?)")
TOTALSEGMENTATOR = "totalsegmentator:"
WEIGHTS_SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
REMEDY = (
    "Choose a model's folder or zip file, a trained-model folder of nnU-Net, weights (.safetensors, .pt, .pth), a "
    "TorchScript (.ts) or exported program (.pt2), brainchop's .json, or the name of a model in MONAI's zoo."
)


@dataclass(frozen=True)
class Source:
    """Where a model comes from."""

    kind: Kind
    path: Path
    """The folder or file."""
    name: str = ""
    """For what is fetched: the model."""


def recognise(source: Path | str) -> Source:
    """Return what a path or name stands for. Executes nothing and fetches nothing.

    Parameters
    ----------
    source : path or str
        A folder, a file, ``totalsegmentator:TASK``, or the name of a model in MONAI's zoo, if need be as ``zoo:NAME``.

    Raises
    ------
    BundleError
        If it is nothing that can become a model.
    """
    text, path = str(source), Path(source).expanduser()
    if text.startswith(TOTALSEGMENTATOR):
        return Source("totalsegmentator", path, text.removeprefix(TOTALSEGMENTATOR))
    if path.is_dir():
        return _in_folder(path)
    if path.is_file():
        return _of_file(path)
    match = ZOO_NAME.fullmatch(text)
    if match is None:
        raise BundleError(f"There is no file or folder {path}.", REMEDY)
    return Source("zoo", path, match["name"])


def _in_folder(folder: Path) -> Source:
    if (folder / METADATA).is_file():
        return Source("bundle", folder)
    if is_nnunet(folder):
        return Source("nnunet", folder)
    descriptions = [path for path in sorted(folder.glob("*.json")) if is_brainchop(path)]
    below = [path.parents[1] for path in sorted(folder.glob(f"*/{METADATA.as_posix()}"))]
    trained = [path.parent for path in sorted(folder.rglob("plans.json")) if is_nnunet(path.parent)]
    found = [
        *(Source("bundle", path) for path in below),
        *(Source("nnunet", path) for path in trained),
        *(Source("brainchop", path) for path in descriptions),
    ]
    if not found:
        raise BundleError(f"There is no model in {folder}.", REMEDY)
    if len(found) > 1:
        names = ", ".join(entry.path.relative_to(folder).as_posix() for entry in found)
        raise BundleError(f"There are {len(found)} models in {folder}.", f"Choose one of {names}.")
    return found[0]


def _of_file(path: Path) -> Source:
    if path.suffix == ".json":
        if is_brainchop(path):
            return Source("brainchop", path)
        raise BundleError(f"{path.name} does not describe a model.", REMEDY)
    if program_kind(path):
        return Source("program", path)
    if path.suffix in WEIGHTS_SUFFIXES:
        return Source("checkpoint", path)
    if zipfile.is_zipfile(path):
        return Source("zip", path)
    raise BundleError(f"{path.name} is no model.", REMEDY)


def is_brainchop(path: Path) -> bool:
    """Return whether a JSON file describes a network of brainchop, with weights beside it."""
    if not path.with_suffix(".safetensors").is_file():
        return False
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and {"layers", "activation", "labels"} <= content.keys()
