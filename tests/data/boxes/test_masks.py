"""Masks: as parts of boxes, as COCO writes them, and as label maps that boxes are made of."""

import json

import imageio.v3 as iio
import numpy as np
import pytest
from pycocotools import mask as coco_masks

from napari_medseg.data.boxes import clipped, find_boxed, flipped, labels_of_boxes, read_boxes, transposed
from napari_medseg.data.boxes.coco import coco_results
from napari_medseg.data.boxes.masks import mask_of_polygons, mask_of_runs, mask_on_grid, run_lengths
from napari_medseg.data.boxes.opening import things_on
from napari_medseg.errors import DataError
from napari_medseg.io import write
from napari_medseg.prediction import Boxes
from napari_medseg.volume import LabelClass, Volume

CELL = LabelClass(value=3, name="cell")


def ring(size=12):
    y, x = np.indices((size, size)) - (size - 1) / 2
    away = np.hypot(y, x)
    return (away < size / 2) & (away > size / 4)


def masked(edges, *masks):
    count = len(masks)
    return Boxes(np.array(edges, float), np.full(count, 3), np.linspace(1, 0.5, count), (CELL,), np.stack(masks))


def test_a_mask_of_as_many_parts_as_pixels_is_exact():
    part, inside = mask_on_grid(np.array([[3.0, 5], [15, 17]]), ring().astype(np.float32), (20, 20))
    assert part == (slice(3, 15), slice(5, 17))
    np.testing.assert_array_equal(inside, ring())


def test_masks_at_the_border_and_boxes_between_pixels():
    half = np.repeat([[1.0, 1, 0, 0]], 4, axis=0)
    part, inside = mask_on_grid(np.array([[-2.0, -4], [2, 4]]), half, (20, 20))
    assert (part, inside.any()) == ((slice(0, 2), slice(0, 4)), False), "the bright half is outside"
    part, inside = mask_on_grid(np.array([[1.4, 1.4], [5.4, 9.4]]), half, (20, 20))
    assert part == (slice(1, 5), slice(1, 9))
    assert inside.sum(axis=1).tolist() == [4] * 4


def test_flips_turns_and_cuts_go_with_the_image():
    mask = np.zeros((12, 12), np.float32)
    mask[:4, :9] = 1
    boxes = masked([[[3, 5], [15, 17]]], mask)
    plain = labels_of_boxes(boxes, (20, 24))
    for axis, size in ((0, 20), (1, 24)):
        np.testing.assert_array_equal(labels_of_boxes(flipped(boxes, axis, size), (20, 24)), np.flip(plain, axis))
    np.testing.assert_array_equal(labels_of_boxes(transposed(boxes, (1, 0)), (24, 20)), plain.T)
    np.testing.assert_array_equal(labels_of_boxes(clipped(boxes, (9, 11)), (9, 11)), plain[:9, :11])


def test_things_are_numbered_with_the_surest_on_top():
    boxes = masked([[[0, 0], [6, 6]], [[4, 4], [10, 10]]], np.ones((2, 2)), np.ones((2, 2)))
    things = labels_of_boxes(boxes, (12, 12), instances=True)
    assert [(things == k).sum() for k in (1, 2)] == [36, 32]


@pytest.mark.parametrize("seed", range(5))
def test_run_lengths_are_those_of_pycocotools(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((37, 23)) < (0.5, 0.01, 0.99, 0.2, 0.8)[seed]
    runs = run_lengths(mask)
    theirs = coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert runs["counts"] == theirs["counts"].decode()
    np.testing.assert_array_equal(mask_of_runs(runs), mask)
    whole = {"size": [2, 3], "counts": [1, 2, 3]}
    np.testing.assert_array_equal(mask_of_runs(whole), [[False, True, False], [True, False, False]])
    with pytest.raises(DataError, match="make no sense"):
        mask_of_runs({"size": [2, 3], "counts": [1, 2]})


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_results_have_masks():
    boxes = masked([[[3, 5], [15, 17]]], ring().astype(np.float32))
    (result,) = coco_results({"a": boxes}, {"a": 7}, {"a": (20, 30)})
    assert result["bbox"] == [5, 3, 12, 12]
    decoded = coco_masks.decode(result["segmentation"])
    assert decoded.shape == (20, 30)
    np.testing.assert_array_equal(decoded[3:15, 5:17].astype(bool), ring())
    assert decoded.sum() == ring().sum()


def images_of(folder, *names):
    (folder / "images").mkdir()
    for name in names:
        iio.imwrite(folder / "images" / name, np.zeros((20, 30), np.uint8))
    return folder / "images"


def test_outlines_of_coco(tmp_path):
    images = images_of(tmp_path, "a.png")
    square = [4.0, 6, 10, 6, 10, 9, 4, 9]
    assert mask_of_polygons([square], (20, 30)).sum() == 18
    row = np.zeros((20, 30), bool)
    row[15, 2:8] = True
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 30, "height": 20}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 2, "bbox": [4, 6, 6, 3], "segmentation": [square]},
            {"id": 2, "image_id": 1, "category_id": 2, "bbox": [2, 15, 6, 1], "segmentation": run_lengths(row)},
            {"id": 3, "image_id": 1, "category_id": 2, "bbox": [1, 1, 0, 1], "segmentation": [square]},
        ],
        "categories": [{"id": 2, "name": "cell"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    boxed = find_boxed(images, tmp_path / "a.json")
    things = things_on(boxed, 0, (20, 30))
    assert np.argwhere(things == 1).min(axis=0).tolist() == [6, 4]
    assert [(things == k).sum() for k in (1, 2)] == [18, 6]
    assert len(boxed.source.boxes["a.png"]) == 2, "the one without extent is left out, its outline, too"


def test_parts_of_label_maps_are_things(tmp_path):
    images = images_of(tmp_path, "a.png", "b.png")
    (tmp_path / "labels").mkdir()
    labels = np.zeros((20, 30), np.uint8)
    labels[2:5, 3:9], labels[10:12, 1:4], labels[10:14, 20:25], labels[19, 29] = 1, 1, 4, 255
    iio.imwrite(tmp_path / "labels" / "a.png", labels)
    iio.imwrite(tmp_path / "labels" / "b.png", np.zeros_like(labels))
    boxed = find_boxed(images, tmp_path / "labels")
    found = boxed.source.boxes["a.png"]
    assert found.names == ("1", "1", "4")
    assert found.edges.tolist() == [[[2, 3], [5, 9]], [[10, 1], [12, 4]], [[10, 20], [14, 25]]]
    assert len(boxed.source.boxes["b.png"]) == 0
    things = things_on(boxed, 0, (20, 30))
    for number, (start, stop) in enumerate(found.edges.astype(int), start=1):
        assert (things[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] == number).all()
    assert things.max() == 3
    with pytest.raises(DataError, match="pixels"):
        things_on(boxed, 0, (20, 31))


def test_many_values_number_things(tmp_path):
    images = images_of(tmp_path, "a.png")
    (tmp_path / "labels").mkdir()
    labels = np.zeros((20, 30), np.uint16)
    for number in range(20):
        labels[2 * (number // 5) : 2 * (number // 5) + 1, 4 * (number % 5) : 4 * (number % 5) + 2] = 3 * number + 3
    write(Volume(labels, None, kind="labels"), tmp_path / "labels" / "a.tif")
    boxed = find_boxed(images, tmp_path / "labels")
    assert len(boxed.source.boxes["a.tif"]) == 20
    assert set(boxed.source.boxes["a.tif"].names) == {"thing"}
    assert np.unique(things_on(boxed, 0, (20, 30))).tolist() == list(range(21))


def test_a_mask_of_0_and_255(tmp_path):
    (tmp_path / "labels").mkdir()
    mask = np.zeros((20, 30), np.uint8)
    mask[3:6, 4:9] = 255
    iio.imwrite(tmp_path / "labels" / "a.png", mask)
    source = read_boxes(tmp_path / "labels")
    assert source.boxes["a.png"].edges.tolist() == [[[3, 4], [6, 9]]]
