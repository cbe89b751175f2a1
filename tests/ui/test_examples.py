"""Layers, slices, regions, boxes, files and tables become examples, and examples become files for a worker."""

import csv
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from napari.layers import Image, Labels, Shapes

from napari_medseg.data.labelled import find_labelled
from napari_medseg.data.labelled.answers import Classified
from napari_medseg.errors import DataError
from napari_medseg.ui import examples
from napari_medseg.ui.examples import Example, lay_out
from napari_medseg.ui.layers.classes import set_classes
from napari_medseg.ui.widgets.classify_predict import spread
from napari_medseg.volume import LabelClass

VALUES = np.arange(3 * 10 * 12, dtype=np.float32).reshape(3, 10, 12)


@pytest.fixture
def scan() -> Image:
    return Image(VALUES, name="scan")


def test_slices_and_regions_come_back_from_the_files_of_a_worker(scan, tmp_path):
    parts = examples.slices(scan)
    assert [part.name for part in parts] == ["scan:0", "scan:1", "scan:2"]
    labels = np.zeros(VALUES.shape, np.uint8)
    labels[1, 2:5, 3:7], labels[2, 6:9, 0:2] = 1, 2
    layer = Labels(labels)
    set_classes(layer, [LabelClass(value=1, name="cyst"), LabelClass(value=2, name="mass")])
    regions = examples.label_regions(layer, scan)
    assert [(part.name, part.label) for part in regions] == [("scan#1", "cyst"), ("scan#2", "mass")]
    said = [Example(p.name, p.image, p.box, "ab"[k % 2]) for k, p in enumerate(parts)] + regions
    laid = lay_out(said)(tmp_path / "run")
    found = find_labelled(*laid)
    assert found.classes == ("a", "b", "cyst", "mass")
    np.testing.assert_array_equal(found.pictures.get(1)[0], VALUES[1])
    # A quarter of the box's edges is added on each side.
    np.testing.assert_array_equal(found.pictures.get(3)[0], VALUES[1, 1:6, 2:8])
    # Parts of one image are never on both sides of a split.
    assert len(set(found.groups)) == 1


def test_boxes_are_those_of_shapes_with_the_classes_of_their_features(scan):
    corners = np.array([[1, 2, 3], [1, 2, 6.4], [1, 4.4, 6.4], [1, 4.4, 3]])
    shapes = Shapes([corners], shape_type="rectangle", features={"label": ["nodule"]})
    (found,) = examples.boxes(shapes, scan)
    assert (found.label, found.box) == ("nodule", (slice(1, 2), slice(2, 5), slice(3, 7)))
    with pytest.raises(DataError, match="does not lie on scan"):
        examples.boxes(Shapes([corners + 50], shape_type="rectangle"), scan)


def test_columns_of_a_table_reach_the_worker(tmp_path):
    for name in "ab":
        iio.imwrite(tmp_path / f"{name}.png", np.full((6, 5), 9, np.uint8))
    rows = [["image", "label", "age", "image2"], ["a", "x", "40", "b"], ["b", "y", "", "a"]]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    found = examples.labelled(tmp_path, tmp_path / "t.csv")
    laid = lay_out(found)(tmp_path / "run")
    again = find_labelled(*laid, ["age"])
    assert again.facts == (("40",), ("",))
    assert len(again.pictures.more[0]) == 1


def test_an_npz_file_is_taken_whole_or_not_at_all(tmp_path, scan):
    np.savez(tmp_path / "d.npz", train_images=np.zeros((2, 8, 8), np.uint8), train_labels=np.array([[0], [1]]))
    found = examples.labelled(tmp_path / "d.npz")
    assert [example.name for example in found] == ["train/0", "train/1"]
    assert lay_out(found)(tmp_path / "run") == (tmp_path / "d.npz", None)
    with pytest.raises(DataError, match="cannot be mixed"):
        lay_out([*found, Example("scan", scan)])


def test_answers_of_slices_are_examples_of_slices(scan):
    asked = [Example("a", Path("a.png")), Example("scan", scan), Example("b", Path("b.png"))]
    names = ("a.png", "image0.medvol:0", "image0.medvol:1", "image0.medvol:2", "b.png")
    found = spread(asked, Classified(names, np.zeros((5, 2))))
    assert [example.name for example in found] == ["a", "scan:0", "scan:1", "scan:2", "b"]
    assert found[2].box == (slice(1, 2), slice(None), slice(None))
