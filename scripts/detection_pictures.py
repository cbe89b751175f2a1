"""Take the pictures of docs/detection.md in a real window.

    xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/detection_pictures.py BLOOD.jpg MODEL PHANTOMS

MODEL is the bundle of a model for blood cells, such as `benchmarks/bccd.py` trains; PHANTOMS is a folder with
``images`` and ``annotations.csv``, as ``benchmarks/nodules.py --write`` makes its parts.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_medseg.jobs import local_engine
from napari_medseg.ui.hand import pause, wait

if TYPE_CHECKING:
    import napari

    from napari_medseg.ui.widgets.detect import DetectWidget

WINDOW = (1500, 960)


def detect_panel(viewer: "napari.Viewer") -> "DetectWidget":
    """Return the Detect panel of a window."""
    _dock, panel = viewer.window.add_plugin_dock_widget("napari-medseg", "Detect")
    return panel  # type: ignore[no-any-return]


def blood(viewer: "napari.Viewer", panel: "DetectWidget", image: Path, model: Path, out: Path) -> None:
    """Find blood cells, accept some, and reject one."""
    viewer.open(image)
    panel.model.open(model)
    panel.run_button.click()
    wait(lambda: not panel.panel.busy)
    wait(lambda: panel.review.review is not None)
    for key, rows in (("A", (0, 1, 2)), ("R", (4,))):
        for row in rows:
            panel.review.table.setCurrentCell(row, 0)
            panel.review.decide(key)
    _shoot(viewer, out / "detect.png")


def nodules(viewer: "napari.Viewer", panel: "DetectWidget", folder: Path, out: Path) -> None:
    """Show the nodules of a table in mm, on slices and in 3D."""
    scan = sorted((folder / "images").glob("*.nii.gz"))[0]
    (image,) = viewer.open(scan, plugin="napari-medseg")
    panel.image.choose(image)
    panel.open_boxes(folder / "annotations.csv")
    panel.review.table.setCurrentCell(0, 0)
    _shoot(viewer, out / "detect-slices.png")
    viewer.dims.ndisplay = 3
    viewer.camera.angles = (10.0, -35.0, 60.0)
    image.rendering = "mip"
    _shoot(viewer, out / "detect-3d.png")


def _shoot(viewer: "napari.Viewer", path: Path) -> None:
    pause(1.0)
    picture = viewer.screenshot(str(path), canvas_only=False, flash=False)
    sys.stderr.write(f"{path.name}: {np.unique(picture.reshape(-1, 4), axis=0).shape[0]} colours\n")


def main() -> int:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("phantoms", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    arguments = parser.parse_args()
    import napari

    viewer = napari.Viewer(title="napari")
    viewer.window.resize(*WINDOW)
    try:
        panel = detect_panel(viewer)
        nodules(viewer, panel, arguments.phantoms, arguments.out)
        viewer.layers.clear()
        viewer.dims.ndisplay = 2
        blood(viewer, panel, arguments.image, arguments.model, arguments.out)
    finally:
        viewer.close()
        local_engine().close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
