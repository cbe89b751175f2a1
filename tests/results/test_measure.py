"""Measures are what can be counted by hand, on any grid."""

import csv

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from skimage.measure import regionprops

from napari_medseg.errors import Cancelled, DataError, WriteError
from napari_medseg.progress import Control
from napari_medseg.results import Measures, measure, write_csv
from napari_medseg.volume import Geometry, LabelClass, Volume

AXIAL = np.array([[0.0, 0, -1], [0, -1, 0], [1, 0, 0]])
"""Columns: arrays (z, y, x) that grow to S, P and L."""


def result_of(steps):
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


def labels_on(geometry, data, **about):
    return Volume(np.asarray(data), geometry, name="seg", kind="labels", **about)


@pytest.fixture
def straight():
    affine = np.eye(4)
    affine[:3, :3] = AXIAL * (5.0, 0.5, 0.8)
    affine[:3, 3] = (10, 20, -30)
    return Geometry((4, 6, 8), affine)


@pytest.fixture
def two_blocks(straight):
    """Return liver in two blocks of 8 and 1 voxels, and a tumour of one voxel; vessel is named and absent."""
    data = np.zeros(straight.shape, np.uint8)
    data[0:2, 1:3, 2:4] = 1
    data[3, 5, 7] = 1
    data[2, 3, 4] = 7
    classes = (
        LabelClass(value=1, name="liver"),
        LabelClass(value=2, name="vessel"),
        LabelClass(value=7, name="tumour"),
    )
    return labels_on(straight, data, classes=classes)


def test_volumes_components_and_places_are_those_counted_by_hand(two_blocks):
    liver, vessel, tumour = result_of(measure(two_blocks))
    assert (liver.voxels, liver.components, tumour.voxels, tumour.components) == (9, 2, 1, 1)
    assert liver.size == pytest.approx(9 * 5 * 0.5 * 0.8 / 1000)
    # index (2, 3, 4): 10 - 4*0.8, 20 - 3*0.5, -30 + 2*5
    assert tumour.centroid_ras == pytest.approx((6.8, 18.5, -20))
    assert tumour.low_ras == pytest.approx((6.4, 18.25, -22.5))
    assert tumour.high_ras == pytest.approx((7.2, 18.75, -17.5))
    assert liver.centroid_ras == pytest.approx((10 - 0.8 * 27 / 9, 20 - 0.5 * 17 / 9, -30 + 5 * 7 / 9))
    assert liver.low_ras == pytest.approx((10 - 7.5 * 0.8, 20 - 5.5 * 0.5, -32.5))
    assert (vessel.name, vessel.voxels, vessel.size, vessel.centroid_ras, vessel.unit) == ("vessel", 0, 0.0, None, None)


def test_intensities_are_those_of_the_class_with_their_unit(two_blocks, straight):
    image = np.full(straight.shape, -1000, np.int16)
    image[0:2, 1:3, 2:4] = np.arange(8).reshape(2, 2, 2)
    image[3, 5, 7], image[2, 3, 4] = 100, 40
    ct = Volume(image, straight, name="CT", modality="CT", units="HU")
    liver, vessel, tumour = result_of(measure(two_blocks, ct))
    values = np.array([*range(8), 100])
    assert liver.mean == pytest.approx(values.mean())
    assert liver.sd == pytest.approx(values.std(ddof=1))
    assert (liver.minimum, liver.median, liver.maximum) == (0, 4, 100)
    assert (tumour.mean, tumour.sd) == (40, 0)
    assert vessel.mean is None
    assert {"mean (HU)", "SD (HU)", "min (HU)", "median (HU)", "max (HU)"} <= liver.row().keys()


def test_an_image_whose_axes_run_the_other_way_is_turned(two_blocks, straight):
    light = np.random.default_rng(0).normal(0, 1, straight.shape)
    as_stored = result_of(measure(two_blocks, Volume(light, straight)))
    turned = Volume(np.flip(light, (0, 1)), straight.flipped(0).flipped(1))
    assert result_of(measure(two_blocks, turned)) == as_stored


def test_pet_is_measured_as_suv(two_blocks, straight):
    pet = Volume(np.full(straight.shape, 5000.0), straight, name="PT", modality="PT", units="Bq/ml", suv_factor=4e-4)
    liver, *_ = result_of(measure(two_blocks, pet))
    assert liver.row()["mean (SUVbw g/ml)"] == pytest.approx(2.0)
    assert liver.row()["max (SUVbw g/ml)"] == pytest.approx(2.0)


def test_voxels_without_a_number_are_left_out(two_blocks, straight):
    image = np.ones(straight.shape, np.float32)
    image[3, 5, 7], image[2, 3, 4] = np.nan, np.inf
    liver, _, tumour = result_of(measure(two_blocks, Volume(image, straight)))
    assert (liver.mean, liver.voxels) == (1, 9)
    assert tumour.mean is None


def test_a_large_class_is_measured_as_by_numpy():
    data = np.random.default_rng(0).integers(0, 3, (40, 50, 60)).astype(np.uint16)
    image = np.random.default_rng(1).normal(1e6, 3, data.shape)
    one, _two = result_of(measure(labels_on(None, data), Volume(image, None)))
    inside = image[data == 1]
    assert one.mean == pytest.approx(inside.mean(), rel=1e-12)
    assert one.sd == pytest.approx(inside.std(ddof=1), rel=1e-9)
    assert (one.median, one.size, one.centroid_ras) == (np.median(inside), None, None)


def test_an_oblique_grid_gives_millimetres_in_the_patient():
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", (25, 14, -19), degrees=True).as_matrix() @ AXIAL * (2.5, 1.1, 0.8)
    affine[:3, 3] = (-31.5, 12.25, 71.0)
    grid = Geometry((9, 12, 15), affine)
    data = (np.random.default_rng(0).random(grid.shape) > 0.97).astype(np.uint8)
    (found,) = result_of(measure(labels_on(grid, data)))
    inside = np.argwhere(data)
    corners = np.array([grid @ (index + np.array(end) - 0.5) for index in inside for end in np.ndindex(2, 2, 2)])
    assert found.low_ras == pytest.approx(corners.min(axis=0))
    assert found.high_ras == pytest.approx(corners.max(axis=0))
    assert found.centroid_ras == pytest.approx((grid @ inside).mean(axis=0))
    (region,) = regionprops(data)
    assert found.centroid_ras == pytest.approx(grid @ np.array(region.centroid))
    assert found.size == pytest.approx(len(inside) * 2.5 * 1.1 * 0.8 / 1000)


def test_a_plane_has_an_area():
    plane = Geometry((3, 4), np.diag([0.5, 0.25, 1, 1]))
    (found,) = result_of(measure(labels_on(plane, [[0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]])))
    assert found.row()["area (mm2)"] == pytest.approx(3 * 0.125)
    assert found.components == 2
    assert found.row()["to A (mm)"] == pytest.approx(0.25 * 3.5)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Volume(np.zeros((4, 6, 9)), None, name="other"), "not on the grid"),
        (Volume(np.zeros((4, 6, 8, 3), np.uint8), None, rgb=True), "colours"),
        (Volume(np.zeros((2, 4, 6, 8)), None, axes=("time",)), "several images, along time"),
    ],
)
def test_an_image_that_does_not_fit_is_refused(two_blocks, image, words):
    with pytest.raises(DataError, match=words):
        result_of(measure(two_blocks, image))


def test_an_image_elsewhere_in_the_patient_is_refused(two_blocks, straight):
    affine = straight.affine.copy()
    affine[0, 3] += 1
    with pytest.raises(DataError, match="not on the grid"):
        result_of(measure(two_blocks, Volume(np.zeros(straight.shape), Geometry(straight.shape, affine))))


@pytest.mark.parametrize("data", [np.full((2, 2, 2), -1), np.full((2, 2, 2), 0.5), np.full((2, 2, 2), 70000)])
def test_what_is_no_label_map_is_refused(data):
    with pytest.raises(DataError, match="whole numbers"):
        result_of(measure(labels_on(None, data)))


def test_several_frames_are_refused_and_one_is_taken():
    with pytest.raises(DataError, match="several label maps"):
        result_of(measure(labels_on(None, np.ones((2, 3, 3, 3), np.uint8), axes=("time",))))
    (found,) = result_of(measure(labels_on(None, np.ones((1, 3, 3, 3), np.uint8), axes=("time",))))
    assert found.voxels == 27


def test_it_stops_when_asked(two_blocks):
    control = Control()
    steps = measure(two_blocks, control=control)
    next(steps)
    control.cancel()
    with pytest.raises(Cancelled):
        result_of(steps)


def test_the_table_goes_to_a_csv_file_as_it_is(two_blocks, tmp_path):
    found = result_of(measure(two_blocks))
    path = write_csv([entry.row() for entry in found], tmp_path / "new" / "seg.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["liver", "vessel", "tumour"]
    assert float(rows[0]["volume (ml)"]) == pytest.approx(0.018)
    assert rows[1]["centroid R (mm)"] == ""
    assert [row["voxels"] for row in rows] == ["9", "0", "1"]


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(WriteError, match="could not be written"):
        write_csv([Measures(value=1, name="a").row()], tmp_path / "taken" / "x.csv")
    with pytest.raises(WriteError, match="no class"):
        write_csv([], tmp_path / "x.csv")
