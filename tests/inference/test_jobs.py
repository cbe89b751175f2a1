"""A prediction job goes from file to file and ends with a small result."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from napari_medseg.errors import BundleError, Cancelled, ConfigError, ReadError
from napari_medseg.inference.jobs import predict_volume
from napari_medseg.io import read, write
from napari_medseg.models import Bundle, ModelSpec, build
from napari_medseg.progress import Control, Finished, Progress
from napari_medseg.volume import Geometry, LabelClass, Volume

AFFINE = np.array([[0, 0, -0.5, 9], [0, 1, 0, -3], [-2, 0, 0, 4], [0, 0, 0, 1]])
CPU = {"device": "cpu"}


@pytest.fixture
def bundle(tmp_path):
    classes = tuple(LabelClass(value=value, name=name) for value, name in ((0, "background"), (3, "a"), (200, "b")))
    options = {"features": 2, "stages": 2}
    spec = ModelSpec(name="tiny", architecture="unet", options=options, patch_size=(8, 8, 8), classes=classes)
    torch.manual_seed(0)
    return Bundle.create(spec, build(spec).state_dict()).save(tmp_path / "bundle")


@pytest.fixture
def image(tmp_path):
    data = np.random.default_rng(0).normal(size=(9, 10, 11)).astype(np.float32)
    return write(Volume(data, Geometry(data.shape, AFFINE), name="MR 2", modality="MR"), tmp_path / "image.medvol")


def test_from_file_to_file(bundle, image, tmp_path):
    *events, finished = predict_volume(Control(), image, bundle.path, CPU, tmp_path / "labels.medvol")
    assert isinstance(finished, Finished)
    result = finished.result
    assert result.labels == tmp_path / "labels.medvol"
    assert (result.probabilities, result.uncertainty) == (None, None)
    assert (result.bundle, result.bundle_hash) == ("tiny", bundle.hash)
    assert len(pickle.dumps(finished)) < 2000
    (labels,) = read(result.labels)
    assert labels.kind == "labels"
    assert [c.name for c in labels.classes] == ["background", "a", "b"]
    np.testing.assert_array_equal(labels.geometry.affine, AFFINE)
    voxels = {"a": int((labels.data == 3).sum()), "b": int((labels.data == 200).sum())}
    assert sum(voxels.values()) > 0
    assert result.volumes_ml == pytest.approx({name: count * 1e-3 for name, count in voxels.items()})
    assert [event.stage for event in events if isinstance(event, Progress)][-1] == "Saving"


def test_probabilities_are_written_beside_the_labels(bundle, image, tmp_path):
    options = CPU | {"probabilities": True}
    *_, finished = predict_volume(Control(), image, bundle.path, options, tmp_path / "labels.medvol")
    assert finished.result.probabilities == tmp_path / "labels-probabilities.medvol"
    (found,) = read(finished.result.probabilities)
    assert found.axes == ("class",)
    assert found.data.shape == (3, 9, 10, 11)
    (labels,) = read(finished.result.labels)
    np.testing.assert_array_equal(np.array([0, 3, 200])[found.data.argmax(axis=0)], labels.data)


def test_uncertainty_is_written_beside_the_labels(bundle, image, tmp_path):
    options = CPU | {"uncertainty": True, "flip_axes": [2]}
    *_, finished = predict_volume(Control(), image, bundle.path, options, tmp_path / "labels.medvol")
    assert finished.result.probabilities is None
    assert finished.result.uncertainty == tmp_path / "labels-uncertainty.medvol"
    (found,) = read(finished.result.uncertainty)
    assert (found.kind, found.data.shape) == ("image", (9, 10, 11))
    assert 0 < found.data.min() <= found.data.max() <= 1
    np.testing.assert_array_equal(found.geometry.affine, AFFINE)


def test_maps_are_written_in_the_format_of_the_labels(bundle, image, tmp_path):
    options = CPU | {"uncertainty": True, "probabilities": True}
    *_, finished = predict_volume(Control(), image, bundle.path, options, tmp_path / "labels.nii.gz")
    assert finished.result.uncertainty == tmp_path / "labels-uncertainty.nii.gz"
    (probabilities,), (uncertainty,) = read(finished.result.probabilities), read(finished.result.uncertainty)
    assert probabilities.data.shape == (3, *uncertainty.data.shape)
    np.testing.assert_allclose(probabilities.geometry.affine, uncertainty.geometry.affine)


def test_a_cancelled_job_writes_nothing(bundle, image, tmp_path):
    control = Control()
    job = predict_volume(control, image, bundle.path, CPU, tmp_path / "labels.medvol")
    next(job)
    control.cancel()
    with pytest.raises(Cancelled):
        list(job)
    assert not (tmp_path / "labels.medvol").exists()


def test_errors_name_what_is_wrong(bundle, image, tmp_path):
    out = tmp_path / "labels.medvol"
    with pytest.raises(ConfigError, match="overlap cannot be 2"):
        list(predict_volume(Control(), image, bundle.path, {"overlap": 2}, out))
    with pytest.raises(BundleError, match="no model folder"):
        list(predict_volume(Control(), image, tmp_path / "nothing", CPU, out))
    with pytest.raises(ReadError):
        list(predict_volume(Control(), tmp_path / "nothing.medvol", bundle.path, CPU, out))
    labels = write(Volume(np.zeros((4, 4, 4), np.uint8), None, kind="labels"), tmp_path / "seg.medvol")
    with pytest.raises(ReadError, match="holds 0 images"):
        list(predict_volume(Control(), labels, bundle.path, CPU, out))


def test_naming_the_job_loads_no_torch():
    code = "import sys, napari_medseg.inference.jobs, napari_medseg.evaluate; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
