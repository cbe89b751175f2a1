from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_medseg.io import write
from napari_medseg.models import Bundle, ModelSpec, build
from napari_medseg.volume import Geometry, LabelClass, Volume

AFFINE = np.array([[0, 0, -0.5, 9], [0, 1, 0, -3], [-2, 0, 0, 4], [0, 0, 0, 1]])


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Return a saved model of two classes with random weights."""
    classes = tuple(LabelClass(value=value, name=name) for value, name in ((0, "background"), (3, "a"), (200, "b")))
    options = {"features": 2, "stages": 2}
    spec = ModelSpec(name="tiny", architecture="unet", options=options, patch_size=(8, 8, 8), classes=classes)
    torch.manual_seed(0)
    return Bundle.create(spec, build(spec).state_dict()).save(tmp_path / "bundle")


@pytest.fixture
def save_image() -> Callable[..., Path]:
    """Return a function that writes a small image of a seed."""

    def save(path: Path, seed: int = 0, side: int = 10) -> Path:
        data = np.random.default_rng(seed).normal(size=(9, side, 11)).astype(np.float32)
        return write(Volume(data, Geometry(data.shape, AFFINE), name="MR"), path)

    return save
