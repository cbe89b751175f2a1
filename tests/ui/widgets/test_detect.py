"""The Detect widget: boxes of files and models are reviewed, saved and learnt from."""

import csv
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from qtpy.QtCore import Qt

from napari_medseg import read
from napari_medseg.errors import DataError, WriteError
from napari_medseg.prediction import Boxes
from napari_medseg.ui.layers import image_volume, new_labels, to_layer_tuples
from napari_medseg.ui.layers.boxes import BOXES_OF, boxes_as_labels
from napari_medseg.volume import Geometry, LabelClass, Volume

pytestmark = pytest.mark.viewer

# z, y, x: start and stop of what is bright in a flipped, anisotropic volume
BRIGHT = np.array([[[2, 6, 18], [4, 14, 26]], [[6, 30, 8], [7, 36, 14]]])


@pytest.fixture
def image(viewer):
    affine = np.array([[0, 0, 0.8, -20.0], [0, 0.9, 0, -31.5], [-4.0, 0, 0, 17], [0, 0, 0, 1]])
    values = np.random.default_rng(0).normal(0.2, 0.02, (10, 48, 48)).astype(np.float32)
    for start, stop in BRIGHT:
        values[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = 1.0
    ((data, about, _),) = to_layer_tuples(Volume(values, Geometry(values.shape, affine), name="MR 2"))
    return viewer.add_image(data, **about)


@pytest.fixture
def table(tmp_path):
    """Return a file of boxes: both bright ones, and one where nothing is."""
    path = tmp_path / "found.csv"
    lines = ["image,label,score,xmin,ymin,zmin,xmax,ymax,zmax"]
    for score, (start, stop) in zip((0.9, 0.6, 0.4), [*BRIGHT, [[0, 40, 40], [2, 44, 44]]], strict=True):
        lines.append(",".join(map(str, ["MR 2", "lesion", score, *start[::-1], *stop[::-1]])))
    path.write_text("\n".join(lines) + "\n")
    return path


def layers_of(viewer):
    return [layer for layer in viewer.layers if BOXES_OF in layer.metadata]


def test_boxes_are_reviewed_drawn_and_saved(viewer, dock, click, image, table, tmp_path, qtbot):
    detect = dock("Detect")
    detect.open_boxes(table)
    review = detect.review
    assert review.isVisible()
    assert review.table.rowCount() == 3
    assert [review.table.item(row, 1).text() for row in range(3)] == ["0.90", "0.60", "0.40"]
    # 8 voxels of 0.8 mm, 8 of 0.9 mm, 2 of 4 mm
    assert review.table.item(0, 2).text() == "6.4 × 7.2 × 8.0 mm"
    flat, frames = layers_of(viewer)
    assert len(frames.data) == 3 * 4
    assert len(flat.data) == 2 + 1 + 2, "one rectangle per slice that a box is on"
    np.testing.assert_allclose(flat.data[0][:, 1:].min(axis=0), [5.5, 17.5])
    np.testing.assert_allclose(flat.data[0][:, 1:].max(axis=0), [13.5, 25.5])
    np.testing.assert_allclose(flat.scale, image.scale)
    assert (flat.visible, frames.visible) == (True, False)
    viewer.dims.ndisplay = 3
    assert [layer.visible for layer in layers_of(viewer)] == [False, True]
    viewer.dims.ndisplay = 2

    review.table.setCurrentCell(1, 0)
    assert np.rint(image.world_to_data(viewer.dims.point))[0] == 6, "a click flies to the lesion"
    qtbot.keyClick(review.table, Qt.Key.Key_A)
    assert review.review.verdicts == ("open", "accepted", "open")
    review.threshold.setValue(70)
    assert review.table.rowCount() == 2, "the accepted one stays"
    review.threshold.setValue(10)
    review.table.setCurrentCell(2, 0)
    click(review.reject_button)
    assert review.table.rowCount() == 2
    click(review.undo_button)
    assert review.table.rowCount() == 3
    click(review.reject_button)

    corners = [image.data_to_world((4, row, column)) for row, column in ((20, 30), (20, 33), (23, 33), (23, 30))]
    viewer.add_shapes([np.array(corners)], shape_type="rectangle", name="missed")
    review.drawn.depth.setValue(1)
    click(review.drawn.add_button)
    confirmed = review.review.confirmed()
    np.testing.assert_array_equal(confirmed.edges[-1], [[3, 20, 30], [6, 24, 34]])

    saved = tmp_path / "reviewed.csv"
    review.save(saved)
    rows = list(csv.DictReader(saved.read_text().splitlines()))
    assert [float(rows[0][name]) for name in ("xmin", "ymin", "zmin", "xmax", "ymax", "zmax")] == [30, 20, 3, 34, 24, 6]
    with pytest.raises(WriteError, match="not read from DICOM"):
        review.save(tmp_path / "reviewed.dcm")
    review.save(tmp_path / "reviewed.luna.csv")
    rows_mm = list(csv.DictReader((tmp_path / "reviewed.luna.csv").read_text().splitlines()))
    assert len(rows_mm) == len(rows)
    assert set(rows_mm[0]) == {"seriesuid", "coordX", "coordY", "coordZ", "diameter_mm", "probability"}
    review.save(tmp_path / "reviewed.json")
    detect.open_boxes(tmp_path / "reviewed.json")
    assert len(review.review.boxes) == len(rows)
    click(review.labels_button)
    filled = image_volume(viewer.layers[-1])
    assert filled.kind == "labels"
    assert set(np.unique(np.asarray(filled.data)[3:6, 20:24, 30:34])) == {1}


def test_boxes_of_every_kind_of_layer_become_a_dicom_report(viewer, dock, click, tmp_path):
    (volume,) = read(get_testdata_file("CT_small.dcm"))
    ((data, about, _),) = to_layer_tuples(volume)
    image = viewer.add_image(data, **about)
    detect = dock("Detect")
    detect.draw(["lesion", " cyst", "lesion"])
    review = detect.review
    assert review.isVisible()
    assert [c.name for c in review.review.boxes.classes] == ["lesion", "cyst"]
    drawn = review.drawn.layer.layer
    assert drawn.mode == "add_rectangle"
    drawn.add([[0, 20, 30], [0, 20, 49], [0, 39, 49], [0, 39, 30]], shape_type="rectangle")
    click(review.drawn.add_button)
    points = viewer.add_points([image.data_to_world(place) for place in ((0, 60, 60), (0, 69, 64))])
    review.drawn.layer.choose(points)
    click(review.drawn.add_button)
    labels = new_labels(image, (LabelClass(value=7, name="cyst"),))
    labels.data[0, 100:104, 90:99] = 7
    viewer.add_layer(labels)
    review.drawn.layer.choose(labels)
    click(review.drawn.add_button)
    found = review.review.boxes
    assert found.names == ("lesion", "lesion", "cyst")
    meant = [[[20, 30], [40, 50]], [[60, 60], [70, 65]], [[100, 90], [104, 99]]]
    assert found.edges.tolist() == meant
    review.save(tmp_path / "found.dcm")
    detect.open_boxes(tmp_path / "found.dcm")
    np.testing.assert_allclose(review.review.boxes.edges, meant, atol=1e-3)
    assert review.review.boxes.names == found.names
    review.table.setCurrentCell(0, 0)
    assert np.rint(image.world_to_data(viewer.dims.point))[0] == 0
    press = SimpleNamespace(type="mouse_press", position=image.data_to_world((0, 65.2, 62.0)))
    for kind, numbers in (("mouse_move", [0]), ("mouse_release", [1])):
        click_on_canvas = review._on_click(viewer, press)
        viewer.layers.selection.active = image
        next(click_on_canvas)
        press.type = kind
        assert next(click_on_canvas, None) is None
        assert review.table.numbers == numbers, "a click picks the box, a drag does not"
    with pytest.raises(DataError, match="no volume"):
        review.save(tmp_path / "found.luna.csv")
    click(review.labels_button)
    filled = np.asarray(image_volume(viewer.layers[-1]).data)
    assert [(filled == value).sum() for value in np.unique(filled)[1:]] == [4 * 9, 20 * 20 + 10 * 5]


def test_masks_become_a_labels_layer_of_things(viewer, dock, image):
    ((data, about, _),) = to_layer_tuples(Volume(np.zeros((300, 300), np.uint8), None, name="cells"))
    plane = viewer.add_image(data, **about)
    places = np.array([[10 * (k // 20), 10 * (k % 20)] for k in range(260)], float)
    edges = np.stack([places, places + 8], axis=1)
    half = np.repeat(np.array([[[1.0, 0.0]]], np.float32), 260, axis=0)
    cell = (LabelClass(value=1, name="cell"),)
    layer = boxes_as_labels(Boxes(edges, np.ones(260, int), np.ones(260), cell, half), plane)
    assert (layer.data[10:18, 0:4] == 21).all()
    assert (layer.data[10:18, 4:8] == 0).all()
    values = np.unique(layer.data)
    assert (len(values), 255 in values) == (261, False), "255 stands for painted background"


@pytest.mark.slow
def test_a_model_learns_from_accepted_boxes_and_finds_them(viewer, dock, click, image, table, settle):
    torch_before = "torch" in sys.modules
    detect = dock("Detect")
    detect.open_boxes(table)
    detect.review.decide("A")
    detect.review.table.selectAll()
    detect.review.decide("A")
    detect.review.table.select({2})
    detect.review.decide("R")
    train = detect.train
    train.name.setText("lesions")
    train.main.show(train.main.values().model_copy(update={"minutes": 0.2}))
    train.rest.show(train.rest.values().model_copy(update={"body": 4, "width": 8}))
    train.train()
    settle(lambda: not train.panel.busy)
    assert train.panel.job.state == "finished", train.panel.job.error
    settle(lambda: detect.model.findText("lesions") >= 0)
    detect.model.setCurrentIndex(detect.model.findText("lesions"))
    detect.model.activated.emit(detect.model.currentIndex())
    click(detect.run_button)
    settle(lambda: not detect.panel.busy)
    assert detect.panel.job.state == "finished", detect.panel.job.error
    settle(lambda: detect.review.review is not None and set(detect.review.review.verdicts) <= {"open"})
    found = detect.review.review.boxes
    assert found.axes == 3
    assert found.classes[0].name == "lesion"
    assert ("torch" in sys.modules) == torch_before
