"""Time each paint event in a real window: our panels open, autosaving, while a model trains, against napari alone.

    xvfb-run -a python benchmarks/strokes.py --json strokes.json

Processes with and without the plugin take turns. In each, a hand drags the brush over the slices of a volume at sixty
moves a second, and the time of a move is that of its event together with all that it sets off in the window's thread,
the drawing included. ``ratio`` compares the medians of all moves, ``ratio_p95`` the slow ones.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.models.library import HOME_VARIABLE
from napari_medseg.ui.hand import Hand, pause, wait
from napari_medseg.volume import Geometry, LabelClass, Volume

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_medseg.ui.widgets.train import TrainWidget

GOAL = 1.20
ARMS = ("napari", "panels", "training")
"""napari alone; with the panels Train, Labels and Project in a project that is saved; and with a training as well."""
MOVE_SECONDS = 1 / 60
STROKE_MOVES = 40
WINDOW = (1400, 950)
WARM_SECONDS = 15.0
"""For the worker process to import its libraries, once our panels are open."""
WARM_UP = 30
"""First moves of a process, which are not counted."""


class Timed(Hand):
    """Draws, and times what each move sets off.

    Parameters
    ----------
    viewer : napari.Viewer
        Its window gets the events.
    layer : Labels
        What is painted on.
    """

    def __init__(self, viewer: "napari.Viewer", layer: "Labels") -> None:
        super().__init__(viewer)
        self._dims, self._layer = viewer.dims, layer
        self._random = np.random.default_rng(0)
        self.seconds: list[float] = []

    def line(self, value: int) -> None:
        """Draw a line on a slice, from a random place in a random direction."""
        layer, (depth, height, width) = self._layer, self._layer.data.shape
        z = int(self._random.integers(depth))
        self._dims.set_point(0, layer.data_to_world((z, 0, 0))[0])
        layer.selected_label, layer.mode = value, "paint"
        start, end = self._random.uniform(0.25, 0.75, (2, 2)) * (height, width)
        points = [self.pixel(layer, (z, *(start + (end - start) * t))) for t in np.linspace(0, 1, STROKE_MOVES)]
        pause(MOVE_SECONDS)
        self.send(QEvent.Type.MouseMove, points[0], held=False)
        self.send(QEvent.Type.MouseButtonPress, points[0])
        for point in points[1:]:
            begun = time.perf_counter()
            self.send(QEvent.Type.MouseMove, point)
            QApplication.processEvents()
            self.seconds.append(time.perf_counter() - begun)
            pause(MOVE_SECONDS - self.seconds[-1])
        self.send(QEvent.Type.MouseButtonRelease, points[-1], held=False)


def window(size: int) -> "tuple[napari.Viewer, Labels]":
    """Open a window with a volume of ``size`` voxels along each axis, and empty labels on it."""
    import napari

    from napari_medseg.ui.layers import add_layers, new_labels, place

    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW)
    (image,) = add_layers(viewer, place([ball(size)], None).tuples)
    layer = new_labels(image, [LabelClass(value=1, name="ball"), LabelClass(value=2, name="shell")])
    viewer.add_layer(layer)
    viewer.dims.order = (0, 1, 2)
    viewer.reset_view()
    layer.brush_size = 6
    return viewer, layer


def ball(size: int) -> Volume:
    """Return a ball in a shell, with noise."""
    z, y, x = np.ogrid[:size, :size, :size]
    radius = np.sqrt((z - size / 2) ** 2 + (y - size / 2) ** 2 + (x - size / 2) ** 2) / size
    clean = np.select([radius < 0.2, radius < 0.4], [200, 120], 20).astype(np.int16)
    noise = np.random.default_rng(0).normal(0, 20, clean.shape).astype(np.int16)
    affine = np.array([[0, 0, -1.0, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    return Volume(clean + noise, Geometry(clean.shape, affine), name="ball", modality="MR")


def open_panels(viewer: "napari.Viewer", folder: Path) -> "TrainWidget":
    """Open our panels, with a project in a new folder."""
    _, train = viewer.window.add_plugin_dock_widget("napari-medseg", "Train")
    for name in ("Labels", "Project"):
        viewer.window.add_plugin_dock_widget("napari-medseg", name, tabify=True)
    train.keeper.create(folder)
    wait(lambda: train.keeper.project is not None)
    return train


def begin_training(train: "TrainWidget", layer: "Labels") -> None:
    """Label a few rows, and train on them until the benchmark is over."""
    size = len(layer.data)
    for offset, value in ((0.5, 1), (0.2, 2), (0.05, BACKGROUND_VALUE)):
        row = round(offset * size)
        layer.data[size // 2, row, size // 2 - 8 : size // 2 + 8] = value
    layer.refresh()
    train.paint.choice.choose(layer)
    train.setup.time.show(train.setup.time.values().model_copy(update={"minutes": 60}))
    train.train()
    wait(lambda: len(train.plot.steps) > 3)


def measure(arm: str, size: int, seconds: float) -> dict[str, object]:
    """Paint for so long in this process, and return the times of all moves."""
    from napari_medseg.jobs import local_engine

    viewer, layer = window(size)
    train = None
    with tempfile.TemporaryDirectory() as folder:
        if arm != "napari":
            train = open_panels(viewer, Path(folder) / "project")
            pause(WARM_SECONDS)
        if arm == "training" and train is not None:
            begin_training(train, layer)
        hand = Timed(viewer, layer)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            hand.line(1 + len(hand.seconds) // STROKE_MOVES % 2)
        steps = train.plot.steps[-1] if train is not None and train.plot.steps else 0
        saved = train is not None and train.keeper.saved_at is not None
        if train is not None:
            train.panel.cancel()
            wait(lambda: not train.panel.busy)
        viewer.close()
        local_engine().close()
    return {"moves": hand.seconds[WARM_UP:], "steps": steps, "saved": saved}


def run_arm(arm: str, size: int, seconds: float) -> dict[str, object]:
    """Measure in a process of its own, with settings and data folders of its own."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "found.json"
        own = {"NAPARI_CONFIG": str(Path(folder) / "napari.yaml"), HOME_VARIABLE: folder}
        command = [sys.executable, __file__, "--arm", arm, "--size", str(size), "--seconds", str(seconds)]
        subprocess.run([*command, "--json", str(kept)], env={**os.environ, **own}, check=True)
        return dict(json.loads(kept.read_text()))


def compare(size: int, seconds: float, turns: int) -> dict[str, object]:
    """Let the arms take turns, and return what each move took and how that compares."""
    moves: dict[str, list[float]] = {arm: [] for arm in ARMS}
    steps, saved = 0, False
    for _ in range(turns):
        for arm in ARMS:
            found = run_arm(arm, size, seconds)
            moves[arm] += found["moves"]  # type: ignore[arg-type]
            steps += int(found["steps"])  # type: ignore[call-overload]
            saved = saved or bool(found["saved"])
            sys.stderr.write(f"{arm}: {1000 * np.median(found['moves']):.1f} ms\n")
    arms = {
        arm: {
            "moves": len(found),
            "median_ms": 1000 * float(np.median(found)),
            "p95_ms": 1000 * float(np.percentile(found, 95)),
        }
        for arm, found in moves.items()
    }
    return {
        "size": size,
        "arms": arms,
        "training_steps": steps,
        "autosaved": saved,
        "ratio": arms["training"]["median_ms"] / arms["napari"]["median_ms"],
        "ratio_p95": arms["training"]["p95_ms"] / arms["napari"]["p95_ms"],
        "ratio_panels": arms["panels"]["median_ms"] / arms["napari"]["median_ms"],
        "goal": GOAL,
    }


def main() -> int:
    """Run the comparison, or one arm of it, and return the exit code: 1 if the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="Voxels along each axis.")
    parser.add_argument("--seconds", type=float, default=25.0, help="Of painting, per process.")
    parser.add_argument("--turns", type=int, default=2, help="Processes per arm.")
    parser.add_argument("--arm", choices=ARMS, help="Only this, in this process.")
    parser.add_argument("--json", type=Path, help="Where to write what was measured.")
    arguments = parser.parse_args()
    if arguments.arm:
        found = measure(arguments.arm, arguments.size, arguments.seconds)
    else:
        found = compare(arguments.size, arguments.seconds, arguments.turns)
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(not arguments.arm and float(found["ratio"]) > GOAL)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
