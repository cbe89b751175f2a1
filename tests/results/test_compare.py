"""Two label maps side by side: known scores, and every kind of error where it is."""

import numpy as np
import pytest

from napari_medseg.errors import Cancelled, DataError
from napari_medseg.progress import Control
from napari_medseg.results import comparing, errors
from napari_medseg.volume import Geometry, LabelClass, Volume

GRID = Geometry((12, 12, 12), np.diag([2.0, 1.0, 0.5, 1.0]))


def labels(data, grid=GRID, **about):
    return Volume(np.asarray(data, np.uint8), grid, kind="labels", name="seg", **about)


def result_of(steps):
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


@pytest.fixture
def pair():
    """Return two cubes of 4x4x4 voxels, two voxels apart along the last axis, and a class that one of them has."""
    first, second = np.zeros(GRID.shape, np.uint8), np.zeros(GRID.shape, np.uint8)
    first[2:6, 2:6, 2:6] = second[2:6, 2:6, 4:8] = 1
    first[9, 9, 9] = 5
    return labels(first, classes=(LabelClass(value=1, name="liver"),)), labels(second)


def test_scores_are_those_worked_out_by_hand(pair):
    found = result_of(comparing(*pair, tolerance=0.5))
    rows = {row["class"]: row for row in found.rows()}
    liver = rows["liver"]
    assert liver["Dice"] == pytest.approx(0.5)
    assert liver["HD95 (mm)"] == pytest.approx(1.0)
    assert liver["NSD at 0.5 mm"] == pytest.approx(found.scores["liver"].nsd)
    assert 0 < liver["NSD at 0.5 mm"] < 1
    assert liver["first (ml)"] == liver["second (ml)"] == pytest.approx(0.064)
    only = rows["class 5"]
    assert (only["Dice"], only["HD95 (mm)"], only["difference (ml)"]) == (0, None, pytest.approx(0.001))


def test_maps_that_agree_score_one(pair):
    rows = result_of(comparing(pair[0], pair[0])).rows()
    assert [(row["Dice"], row["HD95 (mm)"], row["NSD at 1 mm"], row["difference (ml)"]) for row in rows] == [
        (1, 0, 1, 0)
    ] * 2


def test_without_geometry_distances_are_in_voxels(pair):
    first, second = (labels(volume.data, None) for volume in pair)
    row = result_of(comparing(first, second)).rows()[0]
    assert row["HD95 (voxels)"] == pytest.approx(2)
    assert row["first (ml)"] is None


def test_errors_are_where_they_are(pair):
    first, second = pair
    second.data[3, 3, 5] = 2
    found = errors(first, second)
    assert [entry.name for entry in found.classes[1:]] == ["only in the first", "only in the second", "another class"]
    expected = np.zeros(GRID.shape, np.uint8)
    expected[2:6, 2:6, 2:4] = expected[9, 9, 9] = 1
    expected[2:6, 2:6, 6:8] = 2
    expected[3, 3, 5] = 3
    np.testing.assert_array_equal(found.labels, expected)


def test_axes_that_run_the_other_way_make_no_errors(pair):
    first, second = pair
    turned = labels(np.flip(first.data, (0, 2)), GRID.flipped(0).flipped(2))
    np.testing.assert_array_equal(errors(turned, second).labels, errors(first, second).labels)


def test_grids_that_differ_are_refused(pair):
    moved = GRID.affine.copy()
    moved[2, 3] = 3
    with pytest.raises(DataError, match="3 mm apart"):
        result_of(comparing(pair[0], labels(pair[1].data, Geometry(GRID.shape, moved))))
    with pytest.raises(DataError, match="voxels"):
        errors(pair[0], labels(np.zeros((2, 2, 2)), None))


def test_it_stops_when_asked(pair):
    control = Control()
    steps = comparing(*pair, control=control)
    next(steps)
    control.cancel()
    with pytest.raises(Cancelled):
        result_of(steps)
