"""The demonstration: the whole line on a real brain, in the real window, driven as a user drives it.

Run as ``python -m napari_medseg.ui.demo``; the command ``napari-medseg demo`` adds a virtual display where it must.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import napari
import numpy as np
from qtpy.QtWidgets import QApplication, QScrollArea

from napari_medseg.cli.console import err, out, say
from napari_medseg.data.samples import TISSUES, mni152_path, mni152_tissues
from napari_medseg.data.strokes import Annotator, draw_strokes
from napari_medseg.errors import Cancelled, JobError, MedsegError
from napari_medseg.evaluate.metrics import dice
from napari_medseg.inference import PredictionFiles
from napari_medseg.jobs import local_engine
from napari_medseg.training import TrainResult
from napari_medseg.ui.layers import labels_volume, show_plane

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_medseg.jobs import Job
    from napari_medseg.ui.layers import Plane
    from napari_medseg.ui.widgets.train import TrainWidget

SEED = 0
SLICES: tuple[tuple[int, int, "Plane"], ...] = ((0, 80, "axial"), (1, 120, "coronal"), (2, 70, "sagittal"))
"""Axis, array index and name of the slices that are drawn on."""

TRAIN_MINUTES = 1.0
PATIENCE_SECONDS = 1800.0
WINDOW = (1640, 1120)
NOTE = f"DEMONSTRATION\nA script (seed {SEED}) drew these strokes from the atlas.\nThey stand in for a user's."


@dataclass(frozen=True)
class Measured:
    """What came of it; written to ``metrics.json``."""

    image: str
    annotation: str
    voxels_drawn: int
    seed: int
    dice: dict[str, float]
    """Overlap of the prediction with the atlas over the whole volume, by tissue."""
    volume_ml: dict[str, float]
    """Predicted volume by tissue."""
    atlas_volume_ml: dict[str, float]
    held_out_dice: dict[str, float] | None
    """Overlap on the strokes that were kept out of training."""
    train_seconds: float
    train_steps: int
    predict_seconds: float
    device: str
    total_seconds: float


class Demo:
    """A user who follows the tutorial.

    Parameters
    ----------
    viewer : napari.Viewer
        An empty window.
    minutes : float
        Time to train.
    """

    def __init__(self, viewer: napari.Viewer, minutes: float = TRAIN_MINUTES) -> None:
        self.viewer = viewer
        self.minutes = minutes
        self.atlas = mni152_tissues()

    def run(self) -> tuple["Labels", Measured]:
        """Open, paint, train, predict, and measure; return the predicted layer and the measurements."""
        begun = time.monotonic()
        image = self._open()
        train = self._open_widget()
        labels = self._paint(train)
        trained = cast("TrainResult", self._wait_for(train.panel.ended, train.train_button.click, "Training"))
        self._tell("Predicting the whole volume.")
        files = cast(
            "PredictionFiles",
            self._wait_for(train.prediction.ended, train.results.segment_button.click, "Predicting"),
        )
        settle(lambda: train.volumes.rowCount() == len(TISSUES))
        result = self._result(image)
        measured = self._measure(result, labels, trained, files, time.monotonic() - begun)
        self._show(result, train, measured)
        return result, measured

    def _open(self) -> "Image":
        (image,) = self.viewer.open(mni152_path("t1"), plugin="napari-medseg")
        self.viewer.dims.order = (0, 1, 2)
        self.viewer.reset_view()
        overlay = self.viewer.canvas.overlays.text
        overlay.visible, overlay.font_size, overlay.color = True, 9, "yellow"
        overlay.position = "top_left"
        image.name = "MNI152 T1"
        self._tell("Opened MNI152 T1.")
        return cast("Image", image)

    def _open_widget(self) -> "TrainWidget":
        _, widget = self.viewer.window.add_plugin_dock_widget("napari-medseg", "Train")
        train = cast("TrainWidget", widget)
        train.setup.time.show(train.setup.time.values().model_copy(update={"minutes": self.minutes}))
        train.setup.design.show(train.setup.design.values().model_copy(update={"size": "small"}))
        # Train and predict on one image: its brightness is what it is.
        train.setup.advanced.show(train.setup.advanced.values().model_copy(update={"intensity": False}))
        train.setup.name.setText("tissues")
        return train

    def _paint(self, train: "TrainWidget") -> "Labels":
        train.paint.table.show_classes(TISSUES)
        train.paint.new_button.click()
        labels = train.paint.layer
        assert labels is not None
        drawn = [(axis, index) for axis, index, _name in SLICES]
        strokes = draw_strokes(np.asarray(self.atlas.data), drawn, Annotator(seed=SEED))
        for axis, index, name in SLICES:
            self._look_at(labels, axis, index, name)
            voxels = np.nonzero(np.moveaxis(strokes, axis, 0)[index])
            places = np.insert(np.stack(voxels), axis, index, axis=0)
            values = strokes[tuple(places)]
            for value in np.unique(values):
                self._tell(f"Painting on the {name} slice.")
                train.paint.paint(int(value))
                labels.data_setitem(tuple(places[:, values == value]), value)
                pause(0.25)
        self._look_at(labels, *SLICES[0])
        self._tell("Training. The preview shows what the network has learnt so far.")
        return labels

    def _look_at(self, layer: "Labels", axis: int, index: int, plane: "Plane") -> None:
        show_plane(self.viewer, plane)
        place = [n // 2 for n in layer.data.shape]
        place[axis] = index
        self.viewer.dims.set_point(axis, layer.data_to_world(place)[axis])
        self.viewer.reset_view()

    def _wait_for(self, ended: Any, click: Callable[[], None], what: str) -> object:  # noqa: ANN401 - Qt's bound signal
        """Press a button and return the result of the job that it starts."""
        jobs: list[Job | None] = []
        ended.connect(jobs.append)
        click()
        settle(lambda: jobs)
        ended.disconnect(jobs.append)
        job = jobs[0]
        if job is None or job.state != "finished":
            raise (job and job.error) or JobError(f"{what} did not finish.", "The panel says why.")
        return job.result

    def _result(self, image: "Image") -> "Labels":
        found = self.viewer.layers.selection.active
        assert found is not image
        return cast("Labels", found)

    def _measure(
        self, result: "Labels", labels: "Labels", trained: TrainResult, files: PredictionFiles, seconds: float
    ) -> Measured:
        predicted = labels_volume(result, list(self.viewer.layers))
        truth = np.asarray(self.atlas.data)
        assert predicted.geometry is not None
        assert predicted.geometry == self.atlas.geometry
        voxel_ml = predicted.geometry.voxel_volume_ml
        masks = {c.name: (np.asarray(predicted.data) == c.value, truth == c.value) for c in TISSUES}
        return Measured(
            image="MNI152 T1",
            annotation="strokes drawn from the atlas by a script on one axial, one coronal and one sagittal slice",
            voxels_drawn=int(np.count_nonzero(labels.data)),
            seed=SEED,
            dice={name: dice(ours, atlas) for name, (ours, atlas) in masks.items()},
            volume_ml={name: int(ours.sum()) * voxel_ml for name, (ours, _atlas) in masks.items()},
            atlas_volume_ml={name: int(atlas.sum()) * voxel_ml for name, (_ours, atlas) in masks.items()},
            held_out_dice=trained.dice,
            train_seconds=trained.seconds,
            train_steps=trained.steps,
            predict_seconds=files.seconds,
            device=str(files.options["device"]),
            total_seconds=seconds,
        )

    def _show(self, result: "Labels", train: "TrainWidget", measured: Measured) -> None:
        result.opacity = 0.5
        scores = "\n".join(f"{name}: Dice {value:.3f} against the atlas" for name, value in measured.dice.items())
        self._tell(f"Predicted the whole volume.\n{scores}")
        for area in train.findChildren(QScrollArea):
            area.ensureWidgetVisible(train.volumes)

    def _tell(self, text: str) -> None:
        self.viewer.canvas.overlays.text.text = f"{NOTE}\n{text}"
        pause(0.05)


def settle(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Keep the window alive until a condition holds.

    Raises
    ------
    JobError
        If it does not within `seconds`.
    Cancelled
        If the user closed the window.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise JobError(f"Nothing came for {seconds:.0f} s.", "Run it again on a machine with less to do.")
        if not any(widget.isVisible() for widget in QApplication.topLevelWidgets()):
            raise Cancelled("The window was closed.")
        QApplication.processEvents()
        time.sleep(0.01)


def pause(seconds: float) -> None:
    """Keep the window alive for some time."""
    end = time.monotonic() + seconds
    settle(lambda: time.monotonic() >= end)


def save(viewer: napari.Viewer, result: "Labels", measured: Measured, folder: Path) -> None:
    """Write ``labels.nii.gz``, ``metrics.json`` and ``screenshot.png`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    result.save(str(folder / "labels.nii.gz"), plugin="napari-medseg")
    (folder / "metrics.json").write_text(json.dumps(asdict(measured), indent=1) + "\n", encoding="utf-8")
    pause(0.5)
    viewer.screenshot(str(folder / "screenshot.png"), canvas_only=False, flash=False)


def report(measured: Measured, folder: Path) -> None:
    """Print the measurements."""
    console = out()
    console.print(
        f"Trained {measured.train_steps} steps in {measured.train_seconds:.0f} s on {measured.voxels_drawn} voxels, "
        f"predicted in {measured.predict_seconds:.0f} s on {measured.device}; {measured.total_seconds:.0f} s in all."
    )
    for name, value in measured.dice.items():
        volume, atlas = measured.volume_ml[name], measured.atlas_volume_ml[name]
        console.print(f"{name}: {volume:.0f} ml (atlas {atlas:.0f} ml), Dice against the atlas {value:.3f}")
    console.print(f"Wrote screenshot.png, labels.nii.gz and metrics.json to {folder}", soft_wrap=True)


def main() -> int:
    """Run the demonstration and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"))
    parser.add_argument("--minutes", type=float, default=TRAIN_MINUTES)
    parser.add_argument("--close", action="store_true", help="Close the window at the end.")
    arguments = parser.parse_args()
    say("Strokes that a script draws from the atlas stand in for a user's. This takes about two minutes.")
    viewer = napari.Viewer(title="napari-medseg demonstration")
    viewer.window.resize(*WINDOW)
    try:
        with err().status("Working in the window"):
            result, measured = Demo(viewer, arguments.minutes).run()
        save(viewer, result, measured, arguments.out)
        report(measured, arguments.out)
        if not arguments.close:
            say("The window is yours; close it to end.")
            napari.run()
    except Cancelled as stopped:
        say(str(stopped))
        return 130
    except MedsegError as error:
        say(f"Error: {error}")
        return 2
    finally:
        viewer.close()
        local_engine().close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
