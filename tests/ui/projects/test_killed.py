"""A napari that is killed while somebody paints loses the last seconds, and nothing else."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_medseg.project import Project, sessions
from napari_medseg.ui.layers import annotation_of, classes_of, image_volume
from napari_medseg.volume import Geometry

pytestmark = [
    pytest.mark.viewer,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a POSIX signal"),
]
PAINTER = """
import sys
import napari, numpy as np
from qtpy.QtCore import QTimer
from napari_medseg.ui.layers import add_layers, annotation_of, new_labels, place
from napari_medseg.ui.projects import keeper
from napari_medseg.ui.widgets.project import ProjectWidget
from napari_medseg.volume import Geometry, LabelClass, Volume

keeper.SAVE_MS = int(sys.argv[1])
viewer = napari.Viewer()
widget = ProjectWidget(viewer)
viewer.window.add_dock_widget(widget)
affine = np.array([[0, 0.6, 0.8, -30], [0, 0.8, -0.6, 20], [2.5, 0, 0, 7], [0, 0, 0, 1.0]])
data = np.arange(40 * 256 * 256, dtype=np.int32).reshape(40, 256, 256)
volume = Volume(data, Geometry(data.shape, affine), name="MR 4")
(image,) = add_layers(viewer, place([volume], None).tuples)
labels = viewer.add_layer(new_labels(image, [LabelClass(value=1, name="liver"), LabelClass(value=2, name="tumour")]))
annotation_of(labels).finish_slice(0, 3)
count = 0

def stroke():
    global count
    count += 1
    labels.brush_size = 5
    labels.paint((count % 40, 20 + count % 200, 40 + 3 * count % 200), 1 + count % 2)
    print(count, int((labels.data > 0).sum()), flush=True)

timer = QTimer()
timer.timeout.connect(stroke)
timer.start(50)
napari.run()
"""


def painted(count):
    """Return the labels after so many strokes of the program, made without it."""
    from napari.layers import Labels

    layer = Labels(np.zeros((40, 256, 256), np.uint8))
    layer.brush_size = 5
    states = {0: layer.data.copy()}
    for number in range(1, count + 1):
        layer.paint((number % 40, 20 + number % 200, 40 + 3 * number % 200), 1 + number % 2)
        states[number] = layer.data.copy()
    return states


def test_killed_while_painting_and_restored(dock, viewer, qtbot, tmp_path):
    environment = {**os.environ, "NAPARI_CONFIG": str(tmp_path / "napari.yaml")}
    with subprocess.Popen(
        [sys.executable, "-c", PAINTER, "300"], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        saves: set[float] = set()
        count = 0
        for line in process.stdout:
            count = int(line.split()[0])
            saves |= {path.stat().st_mtime for path in sessions.sessions_folder().glob("*/cases/*/labels/index.json")}
            # several saves, each of another state, and the next one may be going on
            if len(saves) > 3:
                os.kill(process.pid, signal.SIGKILL)
                break
        last_save, killed = max(saves), time.time()
        process.wait()

    panel = dock("Project")
    qtbot.waitUntil(lambda: panel.restore.isVisible(), timeout=20_000)
    assert "one label map" in panel.restore.label.text()
    assert not viewer.layers
    panel.restore.restore_button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=20_000)
    image, labels = viewer.layers
    states = painted(count + 20)
    held = [number for number, state in states.items() if np.array_equal(state, labels.data)]
    assert held, "what came back is no state that the labels ever had"
    # strokes come every 50 ms, or slower: what is lost is what came since the last save began
    assert count - max(held) <= (killed - last_save + 2.0) / 0.05
    assert max(held) > 1
    np.testing.assert_array_equal(image.data, np.arange(40 * 256 * 256).reshape(40, 256, 256))
    assert [c.name for c in classes_of(labels)] == ["liver", "tumour"]
    assert annotation_of(labels).finished == {(0, 3)}
    affine = np.array([[0, 0.6, 0.8, -30], [0, 0.8, -0.6, 20], [2.5, 0, 0, 7], [0, 0, 0, 1.0]])
    assert image_volume(image).geometry == Geometry((40, 256, 256), affine)
    assert not panel.restore.isVisible()

    # and what is painted from now on goes to the same place
    folder = panel.keeper.project.folder
    assert panel.keeper.project.taken_over
    labels.paint((0, 100, 100), 1)
    expected = labels.data.copy()
    panel.keeper.save()
    qtbot.waitUntil(lambda: not panel.keeper.is_dirty, timeout=20_000)
    stored = Project.look(folder).load_labels("case-001")
    np.testing.assert_array_equal(stored[0].data, expected)


def test_by_default_a_stroke_is_on_disk_in_well_under_half_a_minute():
    from napari_medseg.ui.projects import keeper

    assert keeper.SAVE_MS <= 15_000
    assert Path(sessions.sessions_folder()).name == "sessions"
