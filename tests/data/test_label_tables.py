"""Tables may give an image several classes, several files, covariates, a slice or a box."""

import csv
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from napari_medseg.data.labelled import find_labelled, read_table, split_folds, split_parts
from napari_medseg.data.labelled.crop import cut_out, regions_of
from napari_medseg.data.labelled.parts import digest, fold_of
from napari_medseg.errors import DataError
from napari_medseg.io import write
from napari_medseg.models.spec import Crop
from napari_medseg.volume import Geometry, Volume

VALUES = np.arange(4 * 6 * 8, dtype=np.float32).reshape(4, 6, 8)


def table(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def volume() -> Volume:
    """Return a volume whose axes (z, y, x) grow to superior, posterior and left, of 3, 2 and 1 mm."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = 3, -2, -1, 1
    return Volume(VALUES, Geometry(VALUES.shape, affine))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a folder of the planes a, b and c and the volume v."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, name in enumerate("abc"):
        iio.imwrite(folder / f"{name}.png", np.full((6, 5), 50 * number, np.uint8))
    write(volume(), folder / "v.nii")
    return folder


@pytest.mark.parametrize(
    "rows",
    [
        [("image", "label"), ("a", "mass|node"), ("b", "node"), ("c", "")],
        [("image", "mass", "node"), ("a", 1, 1), ("b", 0, 1), ("c", 0, 0)],
    ],
    ids=["lists", "columns"],
)
def test_an_image_may_have_several_classes(tmp_path, images, rows):
    named = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    found = find_labelled(images, table(tmp_path / "t.csv", named))
    assert found.classes == ("mass", "node")
    assert found.labels.tolist() == [[1, 1], [0, 1], [0, 0]]
    # Each image is of the kind of its rarest class; those without any are a kind of their own.
    assert found.strata.tolist() == [0, 1, 2]


def test_slices_and_boxes_are_parts_of_one_patient(tmp_path, images):
    slices = [{"image": "v.nii", "label": "x", "slice": 2}, {"image": "v.nii", "label": "y", "slice": 0}]
    found = find_labelled(images, table(tmp_path / "t.csv", slices))
    assert found.pictures.names == ("v.nii:2", "v.nii:0")
    assert found.groups == ("v.nii", "v.nii")
    np.testing.assert_array_equal(found.pictures.get(0)[0], VALUES[2])
    box = {"xmin": 2, "ymin": 1, "zmin": 1, "xmax": 4, "ymax": 3, "zmax": 3}
    boxes = [{"image": "v.nii", "label": "x"} | box, {"image": "v.nii", "label": "y"} | box]
    found = find_labelled(images, table(tmp_path / "t.csv", boxes), crop=Crop(margin=0))
    assert found.pictures.names == ("v.nii#1", "v.nii#2")
    np.testing.assert_array_equal(found.pictures.get(1)[0], VALUES[1:3, 1:3, 2:4])


def test_parts_of_one_image_alone_are_split_with_a_word_of_warning(tmp_path, images):
    rows = [{"image": "v.nii", "label": "xy"[k % 2], "slice": k} for k in range(4)]
    found = find_labelled(images, table(tmp_path / "t.csv", rows))
    sums = [digest(found.pictures.get(k)) for k in range(4)]
    parts = split_parts(found, sums, 0.5, 0)
    assert len(parts.val) == 2
    assert "promise too much" in parts.notes[-1]


def test_further_images_become_channels(tmp_path, images):
    rows = [{"image": "a", "image2": "b", "label": "x"}, {"image": "b", "image2": "c", "label": "y"}]
    found = find_labelled(images, table(tmp_path / "t.csv", rows))
    assert found.pictures.get(1)[:, 0, 0].tolist() == [50, 100]
    rows[0]["image2"] = "v"
    with pytest.raises(DataError, match="not on one grid: 4x6x8 and 6x5 voxels"):
        find_labelled(images, table(tmp_path / "t.csv", rows)).pictures.get(0)


def test_covariates_are_read_and_must_be_there(tmp_path, images):
    path = table(tmp_path / "t.csv", [{"image": "a", "label": "x", "Age": 40}, {"image": "b", "label": "y", "Age": ""}])
    assert find_labelled(images, path, ["age"]).facts == (("40",), ("",))
    with pytest.raises(DataError, match="has no column weight"):
        read_table(path, ["weight"])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"xmin": 3, "ymin": 0, "xmax": 3, "ymax": 2}, "the box is empty"),
        ({"xmin": "a", "ymin": 0, "xmax": 3, "ymax": 2}, "no slice or box can be read"),
        ({"xmin": 1, "ymin": 0, "ymax": 2}, "no slice or box can be read"),
    ],
)
def test_a_box_that_is_none_is_refused(tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        read_table(table(tmp_path / "t.csv", [{"image": "a", "label": "x"} | row]))


def test_a_margin_repeats_the_edge_and_a_fixed_size_is_in_mm():
    box = (slice(0, 2), slice(2, 4), slice(2, 6))
    wide = cut_out(volume(), box, Crop(margin=0.5))
    assert wide.spatial_shape == (4, 4, 8)
    np.testing.assert_array_equal(wide.data[0], VALUES[0, 1:5, 0:8])
    np.testing.assert_array_equal(wide.data[1], VALUES[0, 1:5, 0:8])
    np.testing.assert_array_equal(wide.data[3], VALUES[2, 1:5, 0:8])
    same = cut_out(volume(), box, Crop(edge_mm=6))
    # 6 mm are 2, 3 and 6 voxels; the middle of the box stays the middle.
    assert same.spatial_shape == (2, 3, 6)
    assert same.geometry is not None
    np.testing.assert_allclose(same.geometry @ np.zeros(3), volume().geometry @ np.array([0, 2, 1]))
    with pytest.raises(DataError, match="is not in"):
        cut_out(volume(), (slice(0, 5), slice(0, 1), slice(0, 1)), Crop())


def test_regions_are_connected_parts_of_each_value():
    labels = np.zeros((3, 6, 6), np.uint8)
    labels[0, :2, :2], labels[2, 4:, 4:], labels[:, 0, 5] = 1, 1, 2
    labels[1, 5, 0] = 3  # a single voxel is no region
    found = regions_of(labels)
    assert [value for value, _box in found] == [1, 1, 2]
    assert found[1][1] == (slice(2, 3), slice(4, 6), slice(4, 6))
    flat = regions_of(labels, each_slice=True)
    assert [(value, box[0].start) for value, box in flat] == [(1, 0), (1, 2)]


def test_folds_share_classes_and_keep_patients_together(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    rows = []
    for number in range(24):
        iio.imwrite(folder / f"{number}.png", np.full((6, 5), number, np.uint8))
        rows.append({"image": number, "label": "ab"[number // 2 % 2], "patient": number // 2})
    rows[0]["split"] = "test"
    rows[1]["split"] = "test"
    found = find_labelled(folder, table(tmp_path / "t.csv", [{"split": ""} | row for row in rows]))
    sums = [digest(found.pictures.get(k)) for k in range(24)]
    folds = split_folds(found, sums, 3, 0)
    assert sorted(np.concatenate(folds)) == list(range(2, 24))
    for fold in folds:
        assert {found.groups[k] for k in fold}.isdisjoint(found.groups[k] for k in range(24) if k not in fold)
        assert set(found.labels[fold]) == {0, 1}
    parts = np.array(fold_of(found, sums, (1, 3), 0).parts)
    assert np.flatnonzero(parts == "test").tolist() == sorted([0, 1, *folds[1]])
    with pytest.raises(DataError, match="has 5 patients or images for 6 folds"):
        split_folds(found, sums, 6, 0)
