"""The Train part of the Detect panel: what was accepted or drawn becomes a model."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from napari.layers import Image
from qtpy.QtWidgets import QWidget

from napari_medseg.data.boxes.coco import coco_content
from napari_medseg.data.boxes.review import Review
from napari_medseg.errors import ConfigError
from napari_medseg.io import write
from napari_medseg.prediction import Boxes
from napari_medseg.training.detection import DetectionConfig
from napari_medseg.ui.layers import image_volume
from napari_medseg.ui.widgets.scored_train import ScoredTrain, Sources
from napari_medseg.volume import Volume

COLORS = {"map50": "#4363d8", "map": "#3cb44b"}
Found = Mapping[Image, Review]


class DetectTrain(ScoredTrain[DetectionConfig]):
    """Trains on the boxes of all open images that a person accepted or drew.

    Parameters
    ----------
    reviews : callable
        Returns them.
    parent : QWidget, optional
        Owner.
    """

    shown = ("minutes", "pretrained")

    def __init__(self, reviews: Callable[[], Found], parent: QWidget | None = None) -> None:
        self._reviews = reviews
        super().__init__(DetectionConfig(), "detection", ("Train on accepted boxes", "mAP"), COLORS, {}, parent)
        self.train_button.setToolTip(
            "Learn from all open images with accepted or drawn boxes. What else is on them counts as background, so "
            "review an image to the end first"
        )

    def _collected(self) -> Callable[[Path], Sources]:
        # An image on which all was rejected teaches that there is nothing.
        looked_at = {image: review for image, review in self._reviews().items() if set(review.verdicts) - {"open"}}
        volumes = [(image_volume(image), review.confirmed()) for image, review in looked_at.items()]
        if not any(len(boxes) for _volume, boxes in volumes):
            raise ConfigError("There are no boxes to learn from.", "Accept some, or draw and add them.")
        return partial(_laid_out, volumes)


def _laid_out(volumes: list[tuple[Volume, Boxes]], folder: Path) -> tuple[Path, Path]:
    """Write numbered images and their boxes; names of layers stay in the viewer."""
    images = folder / "images"
    images.mkdir(parents=True)
    boxes, sizes = {}, {}
    for number, (volume, found) in enumerate(volumes, start=1):
        name = f"image{number}.medvol"
        write(volume, images / name)
        boxes[name], sizes[name] = found, volume.spatial_shape
    # An image may have classes that another model calls by the same value: names rule.
    classes = {entry.name: entry for found in boxes.values() for entry in found.classes}
    table = folder / "boxes.json"
    table.write_text(json.dumps(coco_content(boxes, sizes, classes.values())), encoding="utf-8")
    return images, table
