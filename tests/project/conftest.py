"""A CT with an oblique grid, and strokes on it."""

from pathlib import Path

import numpy as np
import pytest

from napari_medseg.project import Project
from napari_medseg.volume import Geometry, LabelClass, Volume

SHAPE = (12, 10, 8)
LIVER = LabelClass(value=1, name="liver", color="#ff0000")


@pytest.fixture
def ct() -> Volume:
    """Return a small image of distinct values in an oblique place, with a patient's name as its own."""
    affine = np.array([[0, 0.6, 0.8, -30], [0, 0.8, -0.6, 20], [2.5, 0, 0, 7], [0, 0, 0, 1.0]])
    data = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    return Volume(data, Geometry(SHAPE, affine), name="Doe^Jane", modality="CT", warnings=("Doe^Jane is tilted.",))


@pytest.fixture
def strokes(ct: Volume) -> Volume:
    """Return a stroke of liver and one of background on the image."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[5, 2:6, 3], labels[7, 1, :] = 1, 255
    return Volume(labels, ct.geometry, name="Doe^Jane labels", kind="labels", classes=(LIVER,))


@pytest.fixture
def project(tmp_path: Path):
    """Return a new project, closed at the end."""
    with Project.create(tmp_path / "study") as made:
        yield made
