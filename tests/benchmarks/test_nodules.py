"""The phantoms hold nodules where they say, and errors of boxes are measured in voxels."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from napari_medseg.data.boxes import box_of_sphere, find_boxed
from napari_medseg.data.boxes.opening import boxes_on
from napari_medseg.evaluate.boxes import BoxPairs
from napari_medseg.prediction import Boxes
from napari_medseg.volume import LabelClass

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "nodules.py"


@pytest.fixture(scope="module")
def nodules() -> ModuleType:
    spec = importlib.util.spec_from_file_location("nodules_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["nodules_benchmark"] = module
    spec.loader.exec_module(module)
    return module


def test_nodules_are_where_the_table_says(nodules, tmp_path, monkeypatch):
    monkeypatch.setattr(nodules, "_add_vessel", lambda *_: None)
    monkeypatch.setattr(nodules, "phantom", lambda seed, _p=nodules.phantom: _p(seed, (48, 64, 64)))
    images, table = nodules.write_set(tmp_path, range(3, 4))
    volume, spheres = nodules.phantom(3)
    boxed = find_boxed(images, table)
    boxes = boxes_on(boxed, 0)
    assert len(boxes) == len(spheres) >= 3
    for sphere, edges in zip(spheres, boxes.edges, strict=True):
        np.testing.assert_allclose(edges, box_of_sphere(sphere, volume.geometry), atol=1e-3)
        low, high = np.floor(edges[0]).astype(int), np.ceil(edges[1]).astype(int)
        outer = volume.data[tuple(slice(a - 2, b + 2) for a, b in zip(low, high, strict=True))] > -450
        places = np.argwhere(outer) + low - 2
        # Of a ball without vessels beside it, the bright voxels fill the box to within half a voxel or so.
        assert np.abs(places.min(axis=0) - edges[0]).max() < 1
        assert np.abs(places.max(axis=0) + 1 - edges[1]).max() < 1


def test_the_same_seed_gives_the_same_volume(nodules):
    one, two, other = (nodules.phantom(seed, (32, 48, 48)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one[0].data, two[0].data)
    assert one[1] == two[1]
    assert one[1] != other[1]


def test_errors_are_those_of_the_edges(nodules):
    classes = (LabelClass(value=1, name="nodule"),)
    truth = Boxes(np.array([[[2.0, 2, 2], [8, 8, 8]]]), np.ones(1), np.ones(1), classes)
    found = Boxes(
        np.array([[[2.5, 2, 2], [8, 8, 7]], [[2.0, 2, 2], [8, 8, 8]]]), np.ones(2), np.array([0.9, 0.1]), classes
    )
    errors = nodules.box_errors(BoxPairs(classes, {"a": found}, {"a": truth}))
    assert errors.tolist() == [0.5, 0, 0, 0, 0, 1]
