"""Arrays of npz files are read row by row, whatever their size."""

import gc

import numpy as np
import pytest

from napari_medseg.data.labelled import find_labelled, packed
from napari_medseg.data.labelled.packed import PackedRows
from napari_medseg.errors import DataError


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("whole", [True, False])
def test_rows_are_those_that_were_saved_in_any_order(tmp_path, monkeypatch, save, whole):
    values = np.random.default_rng(0).integers(0, 255, (50, 6, 5, 3), np.uint8)
    save(tmp_path / "d.npz", train_images=values)
    if not whole:
        monkeypatch.setattr(packed, "WHOLE_BYTES", 100)
        monkeypatch.setattr(packed, "BLOCK_BYTES", 8 * 90)
    rows = PackedRows(tmp_path / "d.npz", "train_images")
    assert len(rows) == 50
    for number in (0, 7, 8, 49, 3, 25):
        np.testing.assert_array_equal(rows[number], values[number])
    assert rows._block.nbytes == (values.nbytes if whole else 8 * 90)
    del rows
    gc.collect()


def test_what_is_no_array_of_images_is_refused(tmp_path):
    np.savez(tmp_path / "d.npz", train_images=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="no plain array"):
        PackedRows(tmp_path / "d.npz", "train_images")
    whole = (tmp_path / "d.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read"):
        PackedRows(tmp_path / "half.npz", "train_images")


def test_columns_of_one_class_each_are_classes_and_grey_may_have_an_axis(tmp_path):
    one_each = np.eye(3, dtype=np.uint8)[[0, 2, 1, 0]]
    np.savez(tmp_path / "d.npz", train_images=np.zeros((4, 8, 8, 1), np.uint8), train_labels=one_each)
    found = find_labelled(tmp_path / "d.npz")
    assert (found.several, found.labels.tolist()) == (False, [0, 2, 1, 0])
    assert found.pictures.get(0).shape == (1, 8, 8)
    assert found.pictures.chosen([3, 1]).chosen([1]).names == ("train/1",)
    np.savez(tmp_path / "s.npz", train_images=np.zeros((2, 8, 8), np.uint8), train_labels=np.array([[1, 1], [0, 1]]))
    assert find_labelled(tmp_path / "s.npz").several
