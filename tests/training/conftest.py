"""A head of two materials with a few strokes, small enough to train on in a second or two."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_medseg import io
from napari_medseg.models import ModelSpec
from napari_medseg.training import Case, RunFolder, TrainConfig, create_run
from napari_medseg.volume import Geometry, LabelClass, Volume

SHAPE = (20, 28, 24)
CLASSES = (
    LabelClass(value=0, name="background"),
    LabelClass(value=1, name="shell"),
    LabelClass(value=7, name="core"),
)
SPEC = ModelSpec(
    name="head",
    architecture="unet",
    options={"features": 4, "stages": 2, "residual_units": 1},
    classes=CLASSES,
    patch_size=(16, 16, 16),
)
TINY: dict[str, Any] = {
    "minutes": None, "steps": 6, "batch_size": 1, "warmup_steps": 2, "validate_every": 3, "device": "cpu",
    "precision": "float32", "preview_hz": 0, "teacher": False,
}  # fmt: skip


def geometry() -> Geometry:
    """Axes (z, y, x) growing to inferior, anterior and left, of different spacing."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = -2.0, 1.0, -1.5, 1.0
    return Geometry(SHAPE, affine)


def truth() -> np.ndarray:
    """(z, y, x) class values: a core of 7 in a shell of 1."""
    z, y, x = np.indices(SHAPE)
    radius = np.sqrt(((z - 9) / 0.8) ** 2 + (y - 13) ** 2 + (x - 12) ** 2)
    return np.where(radius < 6, 7, np.where(radius < 10, 1, 0)).astype(np.uint8)


def head(seed: int = 0) -> Volume:
    rng = np.random.default_rng(seed)
    brightness = np.choose(np.searchsorted([0, 1, 7], truth()), [20.0, 60.0, 110.0])
    image = (brightness + rng.normal(0, 6, SHAPE)).astype(np.float32)
    return Volume(image, geometry(), name="head")


def strokes() -> np.ndarray:
    """Every third row of three slices: background as 255."""
    labels = np.zeros(SHAPE, np.uint8)
    values = np.where(truth() == 0, 255, truth())
    for z in (4, 9, 14):
        labels[z, ::3, 2:-2] = values[z, ::3, 2:-2]
    return labels


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunFolder]:
    """Return a function that lays out a run on the head's strokes; keywords change `TrainConfig`."""
    image, labels = tmp_path / "head.medvol", tmp_path / "strokes.medvol"
    io.write(head(), image)
    io.write(Volume(strokes(), geometry(), name="strokes", kind="labels"), labels)

    def make(
        name: str = "run", dims: int = 3, spec: ModelSpec = SPEC, init: Path | None = None, **settings: object
    ) -> RunFolder:
        if dims == 2:
            spec = spec.model_copy(update={"dims": 2, "patch_size": (16, 16)})
        case = Case(id="head", image=image, labels=labels)
        return create_run(tmp_path / name, spec, [case], TrainConfig(**(TINY | settings)), init)  # type: ignore[arg-type]

    return make


@pytest.fixture
def head_truth() -> np.ndarray:
    """Return the class value of every voxel of the head."""
    return truth()


@pytest.fixture
def sketch_spec() -> ModelSpec:
    """Return a pixel classifier for the head."""
    options = {"spacing": [2.0, 1.0, 1.5], "scales": [0.7, 1.6, 3.5]}
    return SPEC.model_copy(update={"architecture": "sketch", "options": options})
