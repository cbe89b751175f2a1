"""A user labels images by keys, trains, predicts on files and slices, and looks at what the model says."""

import os
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from napari.layers import Shapes
from qtpy.QtCore import QPoint, Qt

from napari_medseg.models import library
from napari_medseg.ui.widgets.classify_predict import ROWS, THIS

pytestmark = pytest.mark.viewer
QUICK = {"epochs": 30, "width": 4, "batch_size": 8, "learning_rate": 0.02, "precision": "float32", "intensity": False}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return a folder of 16 images; those with even numbers are bright."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(16):
        image = rng.integers(0, 60, (24, 20), np.uint8) + np.uint8(150 * (number % 2 == 0))
        iio.imwrite(folder / f"{number:02}.png", image)
    return folder


def test_label_train_predict_and_look(viewer, dock, pictures, settle, click, qtbot):
    panel = dock("Classify")
    table = panel.label.table
    panel.label.classes.setText("dark, bright")
    panel.label.add_files(lambda: _files(pictures))
    settle(lambda: table.rowCount() == 16)
    _click_row(qtbot, table, 0)
    settle(lambda: [layer.name for layer in viewer.layers] == ["00"])
    for number in range(16):
        qtbot.keyClick(table, Qt.Key.Key_2 if number % 2 == 0 else Qt.Key.Key_1)
    assert [example.label for example in table.examples] == ["bright", "dark"] * 8
    # Each key went on to the next image.
    settle(lambda: [(layer.name, layer.visible) for layer in viewer.layers] == [("15", True)])
    assert panel.label.count.text() == "16 of 16 have a class"
    _shot(viewer, "label")

    panel.show_tab("Train")
    train = panel.train
    train.main.show(train.main.values().model_copy(update={"minutes": None}))
    train.network.choose("cnn_small")
    train.rest.show(train.rest.values().model_copy(update=QUICK))
    click(train.train_button)
    settle(lambda: len(library()) == 1 and panel.scores.report is not None, 150)
    _shot(viewer, "train")
    assert train.replay.isVisible()
    assert train.replay.line.text().startswith("napari-medseg train classification --replay ")
    assert [c.name for c in panel.predict.model.bundle.spec.classes] == ["bright", "dark"]

    panel.show_tab("Predict")
    panel.predict.what.setCurrentText(ROWS)
    click(panel.predict.run_button)
    settle(lambda: panel.predict.table.rowCount() == 16)
    said = [panel.predict.table.item(row, 1).text() for row in range(16)]
    assert said == ["bright", "dark"] * 8
    _click_row(qtbot, panel.predict.table, 4)
    settle(lambda: viewer.layers[-1].name == "04")

    volume = np.stack([iio.imread(pictures / f"{k:02}.png") for k in (1, 3, 0, 5)])
    image = viewer.add_image(volume, name="scan")
    panel.predict.image.choose(image)
    panel.predict.what.setCurrentText(THIS)
    click(panel.predict.run_button)
    settle(lambda: panel.predict.table.rowCount() == 4)
    answers = next(layer for layer in viewer.layers if isinstance(layer, Shapes))
    assert answers.features["predicted"].tolist() == ["dark", "dark", "bright", "dark"]
    np.testing.assert_allclose(answers.features["p_bright"] + answers.features["p_dark"], 1, atol=1e-6)
    _click_row(qtbot, panel.predict.table, 2)
    assert viewer.dims.current_step[0] == 2
    _shot(viewer, "predict")

    panel.show_tab("Scores")
    settle(lambda: panel.scores.report is not None and panel.scores.report.images == 16)
    assert panel.scores.report.scores["accuracy"] == 1
    assert "sensitivity 1.000, specificity 1.000" in panel.scores.threshold.text()
    assert not panel.scores.plots.pixmap().isNull()
    _shot(viewer, "scores")


def _files(folder: Path):
    from napari_medseg.ui.examples import files

    return files([folder])


def _click_row(qtbot, table, row: int) -> None:
    table.scrollToItem(table.item(row, 0))
    place = table.visualItemRect(table.item(row, 0)).center()
    table.setFocus()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(place.x(), place.y()))
    qtbot.wait(30)


def _shot(viewer, name: str) -> None:
    """Keep a picture of the window where a person asked for one."""
    if folder := os.environ.get("MEDSEG_SCREENSHOTS"):
        viewer.screenshot(f"{folder}/classify-{name}.png", canvas_only=False, flash=False)
