"""The tutorial's user, at a real window: from an image to a model that is kept, and labels that are saved."""

import importlib.util
import re
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from npe2 import PluginManifest

from napari_medseg import write
from napari_medseg.jobs import local_engine
from napari_medseg.models.library import bundles_in
from napari_medseg.project.models import load_history
from napari_medseg.project.visits import load_visits
from napari_medseg.volume import Geometry, LabelClass, Volume

pytestmark = [pytest.mark.viewer, pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
SHAPE = (24, 48, 48)
CLASSES = (LabelClass(value=1, name="ball"), LabelClass(value=2, name="rod"))
TINY = {
    "minutes": None, "patch_size": (16, 16, 16), "batch_size": 1, "precision": "float32", "validate_every": 20,
}  # fmt: skip
STAGES = ["open", "paint", "train", "correct", "next", "segment", "accept", "lock", "gate", "back", "project"]


@pytest.fixture(scope="module")
def tutorial():
    """Return the script that makes the tutorial's pictures."""
    spec = importlib.util.spec_from_file_location("medseg_tutorial", ROOT / "scripts" / "tutorial.py")
    module = sys.modules["medseg_tutorial"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def viewer(make_napari_viewer, npe2pm, plugin_settings):
    npe2pm.register(PluginManifest.from_distribution("napari-medseg"))
    local_engine().start()
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1500, 960)
    return viewer


@pytest.fixture
def scene(tutorial, tmp_path):
    """Return a ball and a rod in noise, in a file with an axis that runs backwards."""
    z, y, x = np.indices(SHAPE)
    organs = np.zeros(SHAPE, np.uint8)
    organs[np.hypot(np.hypot((z - 11) * 2, y - 20), x - 16) < 11] = 1
    organs[np.hypot(y - 34, x - 36) < 6] = 2
    noise = np.random.default_rng(0).normal(0, 60, SHAPE)
    data = (np.choose(organs, (0, 200, 90)) + noise).astype(np.int16)
    affine = np.array([[0, 0, -1.0, 20], [0, -1, 0, 30], [-2, 0, 0, 50], [0, 0, 0, 1]])
    path = write(Volume(data, Geometry(SHAPE, affine), name="CT", modality="CT"), tmp_path / "ct.nii.gz")
    first, second = {**TINY, "steps": 5000}, {**TINY, "steps": 40}
    return tutorial.Scene(path, organs, CLASSES, (6, 11, 18), tmp_path / "work", first=first, second=second)


def test_the_whole_loop(tutorial, viewer, scene):
    stages = []
    scene.folder.mkdir()
    walk = tutorial.Tutorial(viewer, scene, stages.append)
    seen = walk.run()
    assert stages == STAGES
    # the preview became better on the slice in view while it was painted on, and says by which model
    assert seen.after > seen.before
    assert re.match("Preview by the (sketch|network|network and sketch together): Dice", seen.gate)
    # the running training was asked where it is in doubt, and what was corrected there is kept in the project
    assert seen.suggested == 2
    assert len(load_visits(scene.folder / "organs")) >= 1
    assert seen.accepted > 50
    # the gate judged the second model, and the first one is back if that came in
    assert seen.kept in (["first", "refused"], ["first", "accepted", "went back"])
    (kept,) = bundles_in(scene.folder / "organs" / "models")
    assert kept.hash == load_history(scene.folder / "organs" / "models")[0].hash
    # by the image's own grid, and of what the user painted nothing was overwritten
    image, saved = nib.load(scene.image), nib.load(seen.saved)
    np.testing.assert_array_equal(saved.affine, image.affine)
    assert saved.shape == image.shape
    painted = walk.labels.data
    assert set(np.unique(painted)) == {0, 1, 2, 255}
