"""Checkpoints: everything that a run needs to go on as if nothing had happened."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_medseg.data.patches import Shape3
from napari_medseg.data.split import HeldOut
from napari_medseg.errors import ConfigError
from napari_medseg.training.atomic import write_file
from napari_medseg.training.config import TrainConfig


@dataclass
class State:
    """Where a run stands, apart from weights and optimiser."""

    batch_size: int
    """Patches per step; less than was asked for where memory was short."""
    patch: Shape3
    """(z, y, x) voxels of a patch."""
    planned: int | None = None
    """Steps to take; None until a time budget was turned into steps."""
    step: int = 0
    """Steps taken."""
    seconds: float = 0.0
    """Training time, pauses left out."""
    best_score: float = -1.0
    """Highest mean Dice so far."""
    blend_score: float = -1.0
    """Mean Dice of the best weights and the sketch together; -1 without a sketch."""
    stale: int = 0
    """Scores since then."""

    @classmethod
    def start(cls, config: TrainConfig, patch: Shape3) -> "State":
        """Return the state of a run that has not begun."""
        return cls(config.batch_size, patch, None if config.minutes else config.steps)


def save_checkpoint(path: Path, state: State, learner: Mapping[str, Any]) -> None:
    """Write a checkpoint, atomically."""
    write_file(path, lambda file: torch.save({"state": json.dumps(asdict(state)), **learner}, file))


def load_checkpoint(path: Path) -> tuple[State, dict[str, Any]]:
    """Return what `save_checkpoint` wrote, on the CPU.

    Raises
    ------
    ConfigError
        If the file is damaged.
    """
    content = load_content(path)
    values = json.loads(content.pop("state"))
    z, y, x = values.pop("patch")
    return State(patch=(z, y, x), **values), content


def save_best(path: Path, network: nn.Module, step: int, dice: dict[str, float]) -> None:
    """Write the best weights so far, with their step and Dice per class, atomically."""
    note = json.dumps({"step": step, "dice": dice})
    write_file(path, lambda file: torch.save({"note": note, "network": network.state_dict()}, file))


def load_best(path: Path) -> tuple[dict[str, torch.Tensor], int, dict[str, float]]:
    """Return the weights, on the CPU, the step and the Dice per class that `save_best` wrote."""
    content = load_content(path)
    note = json.loads(content["note"])
    return content["network"], note["step"], note["dice"]


def load_content(path: Path) -> dict[str, Any]:
    """Return what is in a file of tensors and plain values, on the CPU.

    Raises
    ------
    ConfigError
        If the file is damaged.
    """
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    # The unpickler's errors for a damaged file have no common base.
    except Exception as error:
        raise ConfigError(f"The checkpoint {path} cannot be read ({error}).", "Start the run anew.") from error


def save_held_out(path: Path, held_out: HeldOut) -> None:
    """Write which voxels are held out, atomically."""
    packed = {"note": np.array(held_out.note)}
    for name, mask in held_out.masks.items():
        packed[f"shape/{name}"] = np.array(mask.shape)
        packed[f"voxels/{name}"] = np.packbits(mask)
    for name, patient in held_out.patients.items():
        packed[f"patient/{name}"] = np.array(patient)
    for name, boxes in held_out.blocks.items():
        packed[f"blocks/{name}"] = np.array([[(part.start, part.stop) for part in box] for box in boxes])
    write_file(path, lambda file: np.savez_compressed(file, allow_pickle=False, **packed))


def load_held_out(path: Path) -> HeldOut:
    """Return what `save_held_out` wrote.

    Raises
    ------
    ConfigError
        If the file is damaged.
    """
    masks, blocks, patients = {}, {}, {}
    try:
        with np.load(path, allow_pickle=False) as packed:
            note = str(packed["note"])
            for key in packed.files:
                kind, _, name = key.partition("/")
                if kind == "shape":
                    shape = tuple(packed[key])
                    bits = np.unpackbits(packed[f"voxels/{name}"], count=int(np.prod(shape)))
                    masks[name] = bits.reshape(shape).astype(bool)
                elif kind == "patient":
                    patients[name] = str(packed[key])
                elif kind == "blocks":
                    blocks[name] = tuple((slice(*z), slice(*y), slice(*x)) for z, y, x in packed[key].tolist())
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path} cannot be read ({error}).", "Start the run anew.") from error
    return HeldOut(masks, note, blocks, patients)
