"""The jobs read files, write files, and return what a panel shows; in the worker and by hand."""

import numpy as np
import pytest

from napari_medseg.errors import ConfigError
from napari_medseg.io import read, write
from napari_medseg.jobs import InlineEngine, Work
from napari_medseg.volume import Geometry, LabelClass, Volume

GRID = Geometry((10, 12, 14), np.array([[0, 0, -0.8, 4], [0, -0.8, 0, 5], [2, 0, 0, 6], [0, 0, 0, 1]]))


@pytest.fixture
def files(tmp_path):
    """Return label maps of one block with and without a speck, and an image."""
    clean = np.zeros(GRID.shape, np.uint8)
    clean[2:8, 2:8, 2:8] = 2
    noisy = clean.copy()
    noisy[9, 11, 13] = 2
    classes = (LabelClass(value=2, name="organ"),)
    image = Volume(noisy * np.float32(10), GRID, name="MR", units="HU")
    for name, data in (("clean", clean), ("noisy", noisy)):
        write(Volume(data, GRID, name=name, kind="labels", classes=classes), tmp_path / f"{name}.medvol")
    write(image, tmp_path / "image.medvol")
    return tmp_path


@pytest.fixture
def run():
    engine = InlineEngine()
    yield lambda target, **arguments: engine.submit(Work(f"napari_medseg.results.jobs:{target}", arguments)).outcome(60)
    engine.close()


def test_clean_labels_writes_the_result_and_where_it_differs(files, run):
    done = run(
        "clean_labels",
        labels=files / "noisy.medvol",
        processing={"steps": [{"kind": "largest"}]},
        out=files / "out.medvol",
    )
    (result,), (wanted,) = read(done.labels), read(files / "clean.medvol")
    np.testing.assert_array_equal(result.data, wanted.data)
    assert result.geometry == GRID
    assert [(change.entry.name, change.removed, change.added) for change in done.changes] == [("organ", 1, 0)]
    (changed,) = read(done.changed)
    assert np.argwhere(changed.data).tolist() == [[9, 11, 13]]


def test_a_step_that_makes_no_sense_is_said(files, run):
    with pytest.raises(ConfigError, match="after the network"):
        run(
            "clean_labels",
            labels=files / "noisy.medvol",
            processing={"steps": [{"kind": "smooth", "sigma_mm": -1}]},
            out=files / "out.medvol",
        )


def test_measure_labels_measures_with_and_without_an_image(files, run):
    (bare,) = run("measure_labels", labels=files / "noisy.medvol")
    assert (bare.name, bare.voxels, bare.components, bare.unit) == ("organ", 217, 2, None)
    (light,) = run("measure_labels", labels=files / "noisy.medvol", image=files / "image.medvol")
    assert light.row()["mean (HU)"] == pytest.approx(20)


def test_make_surfaces_leaves_a_file_per_class(files, run):
    (found,) = run(
        "make_surfaces", labels=files / "clean.medvol", values=(), smoothing_mm=0.0, out=files / "surface.medvol"
    )
    with np.load(found.path) as stored:
        middle = (stored["vertices"].max(axis=0) + stored["vertices"].min(axis=0)) / 2
        assert stored["faces"].shape[1] == 3
    np.testing.assert_allclose(middle, GRID @ (4.5, 4.5, 4.5), atol=1e-5)
    assert found.entry.name == "organ"


def test_compare_labels_writes_the_errors(files, run):
    done = run(
        "compare_labels",
        first=files / "noisy.medvol",
        second=files / "clean.medvol",
        tolerance=1.0,
        out=files / "errors.medvol",
    )
    (row,) = done.rows
    assert row["Dice"] == pytest.approx(2 * 216 / (216 + 217))
    (errors,) = read(done.errors)
    assert np.argwhere(errors.data == 1).tolist() == [[9, 11, 13]]
    assert [entry.name for entry in errors.classes if entry.value] == [
        "only in the first",
        "only in the second",
        "another class",
    ]


def test_what_the_user_painted_as_background_is_kept(run, tmp_path):
    data = np.zeros((5, 5, 5), np.uint8)
    data[0:5, 0:5, 0:5] = 1
    data[2, 2, 1:4] = 0
    data[2, 2, 2] = 255
    classes = (LabelClass(value=1, name="organ"),)
    write(Volume(data, None, kind="labels", classes=classes), tmp_path / "painted.medvol")
    done = run(
        "clean_labels",
        labels=tmp_path / "painted.medvol",
        processing={"steps": [{"kind": "fill_holes"}]},
        out=tmp_path / "out.medvol",
        kept=255,
    )
    ((result,), (changed,)) = read(done.labels), read(done.changed)
    assert result.data[2, 2].tolist() == [1, 1, 255, 1, 1]
    assert (result.data == 1).sum() == 124
    assert [(change.added, change.removed) for change in done.changes] == [(2, 0)]
    assert changed.data[2, 2].tolist() == [0, 2, 0, 2, 0]
    assert [entry.value for entry in done.classes if entry.value] == [1]
