"""The file beside the labels."""

import json
import zipfile

import numpy as np
import pytest

from napari_medseg.data.annotation import FILE, Annotation, ModelVersion, load, save
from napari_medseg.errors import ReadError


@pytest.fixture
def annotation():
    source = np.zeros((3, 4, 5), np.uint8)
    source[1] = 2
    models = [ModelVersion("organs", "1f2e"), ModelVersion("sketch", "step 4", confirmed=False)]
    return Annotation((3, 4, 5), models, source, source * 7, {(0, 2), (1, 3)}, False, {7, 9}, False)


def test_what_is_saved_comes_back(annotation, tmp_path):
    assert load(tmp_path) is None
    assert save(annotation, tmp_path) == tmp_path / FILE
    found = load(tmp_path)
    for name in ("source", "written"):
        np.testing.assert_array_equal(getattr(found, name), getattr(annotation, name))
    for name in ("shape", "models", "finished", "complete", "locked", "learn_accepted"):
        assert getattr(found, name) == getattr(annotation, name)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_nothing_but_numbers_and_json_is_in_it(annotation, tmp_path):
    with zipfile.ZipFile(save(annotation, tmp_path)) as archive:
        assert sorted(archive.namelist()) == ["source.npy", "state.json", "written.npy"]
        assert json.loads(archive.read("state.json"))["locked"] == [7, 9]
    with np.load(tmp_path / FILE, allow_pickle=False) as archive:
        assert archive["source"].dtype == np.uint8


def test_arrays_are_left_out_where_no_model_wrote(tmp_path):
    save(Annotation((100, 100), complete=True), tmp_path)
    assert load(tmp_path).source is None
    assert load(tmp_path).complete
    assert (tmp_path / FILE).stat().st_size < 1000


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"nothing of the kind"])
def test_a_damaged_file_is_an_error_that_says_what_to_do(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ReadError, match="Delete the file"):
        load(tmp_path)


def test_a_later_version_and_wrong_shapes_are_refused(annotation, tmp_path):
    annotation.source = annotation.source[:2]
    save(annotation, tmp_path)
    with pytest.raises(ReadError, match="another shape"):
        load(tmp_path)
    with zipfile.ZipFile(tmp_path / FILE, "w") as archive:
        archive.writestr("state.json", json.dumps({"version": 2}))
    with pytest.raises(ReadError, match="Update"):
        load(tmp_path)


def test_a_save_that_fails_leaves_the_old_file(annotation, tmp_path, monkeypatch):
    save(annotation, tmp_path)
    before = (tmp_path / FILE).read_bytes()

    def full(*_args: object, **_more: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("napari_medseg.data.annotation.files.npy.write_array", full)
    with pytest.raises(OSError, match="No space"):
        save(annotation, tmp_path)
    assert (tmp_path / FILE).read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
