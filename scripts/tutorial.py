"""Walk through the tutorial in a real window, as a user does with mouse and keys, and take its pictures.

    xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/tutorial.py CT.nii.gz ORGANS.nii.gz --out docs/images

The CT and its organs are ``example_ct_sm.nii.gz`` and ``example_seg.nii.gz`` of TotalSegmentator's reference files. The
strokes follow the organs, slips of the hand included; everything else is what the window does.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_medseg import read
from napari_medseg.data.strokes import Annotator, draw_corrections, draw_strokes
from napari_medseg.evaluate.metrics import dice
from napari_medseg.jobs import local_engine
from napari_medseg.project.models import load_history
from napari_medseg.ui.hand import Hand, pause, wait
from napari_medseg.ui.layers import go_to_slice, voxel_at
from napari_medseg.ui.widgets.section import Page
from napari_medseg.volume import LabelClass

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels
    from numpy.typing import NDArray

WINDOW = (1500, 960)
ORGANS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "liver": ("#d98032", (5,)),
    "spleen": ("#b06cf0", (1,)),
    "kidney": ("#3fc46b", (2, 3)),
}
"""Colour of each class, and its values in the file of organs."""


@dataclass
class Scene:
    """What the tutorial is about."""

    image: Path
    organs: "NDArray[np.integer]"
    """Class value of every voxel, on the grid of the image as `read` returns it; 0 is background."""
    classes: tuple[LabelClass, ...]
    slices: tuple[int, ...]
    """That are painted first, along the first axis of the layer."""
    folder: Path
    """For the project and the saved segmentation; new or empty."""
    name: str = "image"
    """Of the image's layer."""
    patience: float = 0.0
    """Seconds to look at the first preview."""
    window: tuple[float, float] | None = None
    """Grey values from black to white."""
    first: Mapping[str, object] = field(default_factory=dict)
    """Settings of the first training, as in `TrainConfig`."""
    second: Mapping[str, object] = field(default_factory=dict)
    """Of the second."""


@dataclass
class Seen:
    """What came of each stage."""

    before: float = 0.0
    """Mean Dice of the preview on the slice in view, before more was painted."""
    after: float = 0.0
    """And after that."""
    gate: str = ""
    """What the preview showed, and why."""
    suggested: int = 0
    """Places that the running training was asked for."""
    accepted: int = 0
    """Voxels of the component that was accepted."""
    kept: list[str] = field(default_factory=list)
    """What became of each model of the project."""
    saved: Path = Path()


class Tutorial:
    """A user who follows the tutorial.

    Parameters
    ----------
    viewer : napari.Viewer
        An empty window.
    scene : Scene
        What to work on.
    shoot : callable
        Gets the name of each stage when the window shows it.
    """

    def __init__(self, viewer: "napari.Viewer", scene: Scene, shoot: Callable[[str], None]) -> None:
        self.viewer, self.scene, self.shoot = viewer, scene, shoot
        self.hand, self.seen = Hand(viewer), Seen()
        self.project, self.labelling, self.train = (self._panel(name) for name in ("Project", "Labels", "Train"))

    def run(self) -> Seen:
        """Do all of it, and return what came of it."""
        self.open()
        self.paint()
        self.begin_training()
        self.paint_more()
        self.look_elsewhere()
        self.finish_training()
        self.accept()
        self.correct()
        self.retrain()
        self.save()
        return self.seen

    def open(self) -> None:
        """Open the image, and make a project."""
        (image,) = self.viewer.open(self.scene.image, plugin="napari-medseg")
        self.image: Image = image
        image.name, image.interpolation2d = self.scene.name, "linear"
        if self.scene.window:
            image.contrast_limits = self.scene.window
        self.viewer.dims.order = (0, 1, 2)
        self.viewer.reset_view()
        self.project.create(self.scene.folder / "organs")
        self._wait(lambda: not self.train.keeper.is_session)
        self._raise(self.project)
        self.shoot("open")

    def paint(self) -> None:
        """Name the classes, and paint a few strokes of each, and of background, on some slices."""
        self._raise(self.train)
        self.train.paint.table.show_classes(self.scene.classes)
        self.train.paint.new_button.click()
        self.labels: Labels = self.train.paint.layer
        self.labels.brush_size = 2
        for index in self.scene.slices:
            self._draw(index, strokes=3)
        self._look(self.scene.slices[1])
        self.shoot("paint")

    def begin_training(self) -> None:
        """Press Train, and wait until the preview shows something."""
        self.train.setup.name.setText("organs")
        self._train(self.scene.first)
        name = f"{self.image.name} preview"
        self._wait(lambda: name in self.viewer.layers)
        self.preview: Labels = self.viewer.layers[name]
        self._wait(lambda: self.preview.data.any() and self.train.plot.steps)
        self._wait(lambda: self.train.preview.words.text())
        self.train.preview.doubt.click()
        self._show(self.train, self.train.plot)
        pause(self.scene.patience)
        self.shoot("train")
        self.train.preview.doubt.click()

    def paint_more(self) -> None:
        """Go to a slice that was not painted, and correct what the preview gets wrong."""
        index = (self.scene.slices[0] + self.scene.slices[1]) // 2
        self._look(index)
        self._wait(lambda: self.preview.data[index].any())
        pause(1.5)
        self.seen.before = self._dice(index)
        self._correct(index, self.preview, strokes=6)
        self._wait(lambda: self._dice(index) > self.seen.before, 120)
        self.seen.after, self.seen.gate = self._dice(index), self.train.preview.words.text()
        self.shoot("correct")

    def look_elsewhere(self) -> None:
        """Ask the running training where to look next, and correct there."""
        self._raise(self.labelling)
        self.labelling.labels.choose(self.labels)
        for number in range(2):
            sent: list[object] = []
            self.labelling.next.sent.connect(sent.append)
            self._key("N")
            self._wait(lambda sent=sent: sent)
            self.labelling.next.sent.disconnect(sent.append)
            self.seen.suggested += 1
            pause(1.0)
            if number == 0:
                self._show(self.labelling, self.labelling.next)
                self.shoot("next")
            self._correct(voxel_at(self.viewer, self.labels)[0], self.preview, strokes=4)
        self._key("N")
        pause(1.0)

    def finish_training(self) -> None:
        """Stop, keep the model, and segment the whole volume."""
        self._raise(self.train)
        self.train.panel.cancel_button.click()
        self._end()
        self.train.results.segment_button.click()
        self._wait(lambda: self.train.volumes.rowCount() == len(self.scene.classes))
        self.predicted: Labels = self.viewer.layers.selection.active
        self._look(self.scene.slices[1])
        self._show(self.train, self.train.volumes)
        self.shoot("segment")

    def accept(self) -> None:
        """Accept the largest component of the first class, with a key, and lock the class."""
        self._raise(self.labelling)
        self.labelling.accepting.source.choose(self.predicted)
        self.viewer.layers.selection.active = self.labels
        self.predicted.opacity = 0.3
        value = self.scene.classes[0].value
        where = self.predicted.data == value
        self._look(int(where.sum(axis=(1, 2)).argmax()))
        index = voxel_at(self.viewer, self.labels)[0]
        inside = np.argwhere(where[index])
        middle = inside[np.abs(inside - inside.mean(axis=0)).sum(axis=1).argmin()]
        before = int((self.labels.data == value).sum())
        self.viewer.cursor.position = self.labels.data_to_world((index, *middle))
        self._key("C")
        self.seen.accepted = int((self.labels.data == value).sum()) - before
        self.labelling.locks.show_values((value,))
        self.labelling.locks.changed.emit()
        self._show(self.labelling, self.labelling.accepting)
        self.shoot("accept")

    def correct(self) -> None:
        """Correct by hand beside the locked class, and show who labelled what."""
        index = voxel_at(self.viewer, self.labels)[0]
        self._correct(index, self.predicted, strokes=6)
        self._key("D")
        self.labelling.origin.box.click()
        self._wait(lambda: f"{self.labels.name} origin" in self.viewer.layers)
        self.predicted.visible = False
        self._show(self.labelling, self.labelling.strip)
        self.shoot("lock")
        self.labelling.origin.box.click()

    def retrain(self) -> None:
        """Train again, see what the gate says, and go back to the model before if it came in."""
        self._raise(self.train)
        self._train(self.scene.second)
        self._wait(lambda: self.train.plot.steps)
        self._end()
        self._wait(lambda: len(load_history(self._models)) == 2)
        self._show(self.train, self.train.results)
        self.shoot("gate")
        if self.train.results.back_button.isVisible():
            self.train.results.back_button.click()
            self._wait(lambda: len(load_history(self._models)) == 3)
        self.seen.kept = [entry.what for entry in load_history(self._models)]
        self._show(self.train, self.train.results)
        self.shoot("back")

    def save(self) -> None:
        """Save the labels in the image's own geometry."""
        self.seen.saved = self.scene.folder / "organs.nii.gz"
        self.labels.save(str(self.seen.saved), plugin="napari-medseg")
        self.train.keeper.flush()
        self._raise(self.project)
        self.shoot("project")

    @property
    def _models(self) -> Path:
        return self.scene.folder / "organs" / "models"

    def _train(self, settings: Mapping[str, object]) -> None:
        setup = self.train.setup
        setup.time.show(setup.time.values().model_copy(update={"minutes": settings.get("minutes")}))
        setup.advanced.show(setup.advanced.values().model_copy(update=dict(settings)))
        self.train.train_button.click()

    def _end(self) -> None:
        """Wait for the end of the training."""
        self._wait(lambda: self.train.results.isVisible() and not self.train.panel.busy, 900)
        self._wait(lambda: len(load_history(self._models)) > 0)

    def _wait(self, condition: Callable[[], object], seconds: float = 240.0) -> None:
        """Keep the window alive until a condition holds; an error that a panel shows is raised."""

        def holds() -> bool:
            for box in (self.train.panel.messages, self.train.prediction.messages, self.labelling.messages):
                if box.error is not None:
                    raise box.error
            return bool(condition())

        wait(holds, seconds)

    def _panel(self, name: str) -> "object":
        _, widget = self.viewer.window.add_plugin_dock_widget("napari-medseg", name, tabify=True)
        return widget

    def _raise(self, panel: "object") -> None:
        panel.parent().raise_()
        pause(0.1)

    def _show(self, panel: "object", part: "object") -> None:
        """Scroll a panel so that a part of it is seen."""
        pause(0.3)
        for page in panel.findChildren(Page):
            page.ensureWidgetVisible(part)
        pause(0.2)

    def _look(self, index: int) -> None:
        go_to_slice(self.viewer, self.labels, 0, index)
        pause(0.05)

    def _key(self, name: str) -> None:
        self.viewer.layers.selection.active = self.labels
        QTest.keyClick(self.hand.canvas, getattr(Qt.Key, f"Key_{name}"))
        pause(0.05)

    def _draw(self, index: int, strokes: int) -> None:
        """Paint strokes of every class on a slice, with the mouse."""
        self._look(index)
        annotator = Annotator(strokes=strokes, length=10, seed=index)
        self._paint(index, draw_strokes(self.scene.organs, [(0, index)], annotator)[index])

    def _correct(self, index: int, shown: "Labels", strokes: int) -> None:
        """Paint where a slice of a prediction is most wrong, with the mouse."""
        self._look(index)
        here = slice(index, index + 1)
        before, annotator = self.labels.data[here], Annotator(strokes=strokes, length=10, seed=index)
        after = draw_corrections(self.scene.organs[here], shown.data[here], before, annotator)
        self._paint(index, np.where(after != before, after, 0)[0])

    def _paint(self, index: int, drawn: "NDArray[np.integer]") -> None:
        self.viewer.layers.selection.active = self.labels
        for value in [int(v) for v in np.unique(drawn) if v]:
            self.train.paint.paint(value)
            for places in lines(drawn == value):
                self.hand.stroke(self.labels, *((index, *place) for place in (*places[:-1:3], places[-1])))

    def _dice(self, index: int) -> float:
        found, truth = self.preview.data[index], self.scene.organs[index]
        values = [c.value for c in self.scene.classes if (truth == c.value).any()]
        return float(np.mean([dice(found == value, truth == value) for value in values]))


def lines(mask: "NDArray[np.bool_]") -> list[list[tuple[int, int]]]:
    """Return the pixels of a mask as lines to be drawn: each goes on to its nearest neighbour."""
    left = [(int(y), int(x)) for y, x in np.argwhere(mask)]
    found: list[list[tuple[int, int]]] = []
    while left:
        line = [left.pop(0)]
        while near := [p for p in left if max(abs(p[0] - line[-1][0]), abs(p[1] - line[-1][1])) <= 1]:
            left.remove(near[0])
            line.append(near[0])
        found.append(line)
    return found


def ct_scene(image: Path, reference: Path, folder: Path, minutes: float) -> Scene:
    """Return the scene of the tutorial's pictures."""
    (found,) = read(reference)
    given = np.asarray(found.data)
    organs = np.zeros(given.shape, np.uint8)
    classes = []
    for value, (name, (color, values)) in enumerate(ORGANS.items(), 1):
        organs[np.isin(given, values)] = value
        classes.append(LabelClass(value=value, name=name, color=color))
    first, second = {"minutes": 30.0}, {"minutes": minutes}
    return Scene(image, organs, tuple(classes), (6, 12, 20), folder, "abdomen", 5.0, (-160, 240), first, second)


def main() -> int:
    """Walk through, and write a picture of each stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("organs", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--minutes", type=float, default=1.5, help="Of the second training; the first one is stopped.")
    arguments = parser.parse_args()
    import napari

    viewer = napari.Viewer(title="napari")
    viewer.window.resize(*WINDOW)

    def shoot(stage: str) -> None:
        pause(0.5)
        viewer.screenshot(str(arguments.out / f"tutorial-{stage}.png"), canvas_only=False, flash=False)
        sys.stderr.write(f"{stage}\n")

    with tempfile.TemporaryDirectory() as folder:
        try:
            scene = ct_scene(arguments.image, arguments.organs, Path(folder), arguments.minutes)
            seen = Tutorial(viewer, scene, shoot).run()
        finally:
            viewer.close()
            local_engine().close()
    sys.stdout.write(f"{seen}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
