"""Several cases learn together, the command that is shown repeats the training, and work is kept meanwhile."""

import shlex
import subprocess
import sys

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.project import Project
from napari_medseg.ui.layers import image_of, new_labels, to_layer_tuples
from napari_medseg.volume import Geometry, LabelClass, Volume

pytestmark = [pytest.mark.viewer, pytest.mark.slow]


def strokes(labels):
    for index in (6, 10, 14):
        labels[index, 18, 18:30] = 1
        labels[index, 3, 3:40] = labels[index, 36, 3:40] = BACKGROUND_VALUE


@pytest.fixture
def project(phantom, tmp_path):
    """Return a closed project with two cases of yesterday, one of them for testing."""
    scanned = phantom("axial")
    made = Project.create(tmp_path / "study")
    for number, split in enumerate(("train", "test")):
        volume = Volume(scanned.data + np.int16(number + 1), Geometry(scanned.data.shape, scanned.affine), name="MR")
        case = made.add_case((made.refer(volume),), split=split)
        labels = np.zeros(scanned.data.shape, np.uint8)
        strokes(labels)
        known = (LabelClass(value=1, name="class 1"),)
        made.save_labels(case.id, Volume(labels, volume.geometry, kind="labels", classes=known))
    made.close()
    return made.folder


@pytest.fixture
def opened(train, project, settle):
    """Return the project's folder, open in the window, with both cases."""
    train.keeper.open(project)
    settle(lambda: train.keeper.layer_of("case-002") is not None)
    assert train.keeper.layer_of("case-001") is None
    train.keeper.show("case-001")
    settle(lambda: train.keeper.layer_of("case-001") is not None)
    return project


def test_open_and_stored_cases_are_learnt_together_and_the_command_repeats_it(
    viewer, train, opened, scribbled, phantom, set_up, settle, click, tmp_path
):
    labels = train.paint.layer
    yesterday = train.keeper.layer_of("case-001")
    tested = train.keeper.layer_of("case-002")
    viewer.layers.remove(yesterday)
    # beside the one that is looked at: one more that is open, and one that is only in the project
    scanned = phantom("axial")
    volume = Volume(scanned.data[:, ::-1], Geometry(scanned.data.shape, scanned.affine), name="MR 5")
    ((data, about, _),) = to_layer_tuples(volume)
    beside = new_labels(viewer.add_image(data, **about), [LabelClass(value=1, name="class 1")])
    strokes(beside.data)
    viewer.add_layer(beside)
    train.paint.choice.choose(labels)
    assert train.image.layer == image_of(labels, viewer.layers)
    items = [train.others.list.item(row) for row in range(train.others.list.count())]
    assert [(item.text(), item.checkState() == Qt.CheckState.Checked) for item in items] == [
        (beside.name, False),
        ("case 1 (not open)", True),
    ]
    items[0].setCheckState(Qt.CheckState.Checked)

    set_up(train, steps=40)
    click(train.train_button)
    settle(lambda: len(train.plot.steps) > 4)
    run = train._live.run
    config = run.load()
    assert len(config.cases) == 3
    assert config.cases[2].id == "case-001"
    assert run.path.parent == opened / "runs"

    # strokes on both open images reach the training
    beside.paint((10, 30, 8), 1)
    labels.paint((8, 18, 20), 1)
    copies = [np.load(case.labels / "data.npy", mmap_mode="r") for case in config.cases]
    settle(lambda: np.array_equal(copies[0], labels.data) and np.array_equal(copies[1], beside.data))
    settle(lambda: train.results.isVisible())
    assert tested.data.any()

    click(train.replay.copy_button)
    command = shlex.split(QApplication.clipboard().text())
    assert command[:3] == ["napari-medseg", "train", "segmentation"]
    assert command[command.index("--replay") + 1] == str(run.path)
    # as a user would, but not into the project
    command[-1] = str(tmp_path / "again")
    done = subprocess.run(
        [sys.executable, "-m", "napari_medseg", *command[1:]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "The weights are those of the run, bit by bit." in done.stderr


def test_a_case_for_testing_is_not_trained_on(train, opened, click, qtbot):
    tested = train.keeper.layer_of("case-002")
    train.paint.choice.choose(tested)
    click(train.train_button)
    qtbot.waitUntil(lambda: train.panel.messages.error is not None, timeout=5000)
    assert "kept for testing" in train.panel.messages.error.problem
