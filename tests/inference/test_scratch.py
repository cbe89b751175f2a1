"""Large arrays are files that go with their last use."""

import gc
import tempfile

import numpy as np

from napari_medseg.inference.scratch import temporary_folder, zeros


def test_small_arrays_are_in_memory():
    assert not isinstance(zeros((4, 5), np.float32), np.memmap)


def test_the_file_of_a_large_array_lives_as_long_as_its_last_view(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    array = zeros((4, 5), np.float32, large_bytes=79)
    assert isinstance(array, np.memmap)
    assert not array.any()
    array[1] = 7
    view = np.asarray(array)[1:3]
    assert len(list(tmp_path.iterdir())) == 1
    del array
    gc.collect()
    assert view.sum() == 35
    assert len(list(tmp_path.iterdir())) == 1
    del view
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_a_folder_goes_with_its_owner(tmp_path, monkeypatch):
    class Owner:
        pass

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    owner = Owner()
    (temporary_folder(owner) / "file").touch()
    del owner
    gc.collect()
    assert not list(tmp_path.iterdir())
