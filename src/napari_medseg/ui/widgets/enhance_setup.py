"""Which way an image is enhanced, and how."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel
from qtpy.QtWidgets import QComboBox, QLabel, QSizePolicy, QWidget

from napari_medseg.inference.restoration.options import (
    TITLES,
    ClassicalOptions,
    CleanerOptions,
    FinerOptions,
    Method,
    OwnNoiseOptions,
    OwnOptions,
)
from napari_medseg.ui.forms import Form
from napari_medseg.ui.settings import recall, remember
from napari_medseg.ui.widgets.section import stacked

PREVIEW = {"minutes": 0.5}
"""Settings of a preview, where they take effect."""


@dataclass(frozen=True)
class Way:
    """One way to enhance."""

    method: str
    """For the job."""
    title: str
    about: str
    options: BaseModel
    fields: tuple[str, ...]
    """Those that are shown."""


CLASSICAL: tuple[tuple[Method, str, tuple[str, ...]], ...] = (
    ("nlm", "Averages places that look alike.", ("strength", "level")),
    ("tv", "Keeps edges and flattens what is between.", ("strength", "level")),
    ("median", "Takes the median of 3 voxels each way.", ()),
    ("deblur", "Undoes a blur of known width (Richardson-Lucy).", ("blur_mm", "rounds")),
    ("clahe", "Stretches contrast place by place; values lose their meaning.", ("strength",)),
    ("n4", "Takes out the slow change of brightness across an MR image (N4).", ()),
)
WAYS = (
    Way(
        "superresolution",
        "Thinner slices",
        "A network learns from the slices of this volume how it looks in fine, and makes thick slices thin.",
        OwnOptions(),
        (
            "minutes",
            "steps",
            "factor",
            "spacing_mm",
            "thickness_mm",
            "estimate_thickness",
            "profile",
            "consistency",
            "seed",
        ),
    ),
    Way(
        "denoise",
        "Denoise",
        "A network learns from this image alone what is noise in it, and removes that.",
        OwnNoiseOptions(),
        ("minutes", "steps", "noise", "level", "learning", "neighbours", "seed"),
    ),
    *(Way(method, TITLES[method], about, ClassicalOptions(), fields) for method, about, fields in CLASSICAL),
)
MODEL = Way("model", "Trained model", "A model that was trained on a set of images.", FinerOptions(), ("views",))


class EnhanceSetup(QWidget):
    """What the way says, and its settings; whoever shows it lays out the choice of the way.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.way_choice = QComboBox(self)
        self.way_choice.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        for way in (*WAYS, MODEL):
            self.way_choice.addItem(way.title, way)
        self.about = QLabel(self)
        self.about.setWordWrap(True)
        self._layout = stacked(self)
        self._layout.addWidget(self.about)
        self._form: Form[BaseModel] | None = None
        self.way_choice.currentIndexChanged.connect(self._show_way)
        self._show_way()

    @property
    def way(self) -> Way:
        """The chosen way."""
        found = self.way_choice.currentData()
        assert isinstance(found, Way)
        return found

    def settings(self, device: str, task: str | None, preview: bool = False) -> Mapping[str, object]:
        """Return what the user decided, and remember it.

        Parameters
        ----------
        device : str
            Where networks run.
        task : str, optional
            Of the chosen model, if the way is one.
        preview : bool
            Whether the answer is wanted soon.

        Raises
        ------
        ConfigError
            If the values do not go together.
        """
        assert self._form is not None
        values = self._form.values()
        remember(f"enhance {self.way.method}", values)
        kind = CleanerOptions if task == "enhancement" else type(values)
        chosen = {name: getattr(values, name) for name in self.way.fields}
        if "device" in kind.model_fields:
            chosen["device"] = device
        return chosen | PREVIEW if preview and "minutes" in chosen else chosen

    def _show_way(self, _index: int = 0) -> None:
        if self._form is not None:
            self._form.native.hide()
            self._form.native.deleteLater()
        self.about.setText(self.way.about)
        self.way_choice.setToolTip(self.way.about)
        self._form = Form(recall(f"enhance {self.way.method}", self.way.options), self.way.fields)
        self._layout.addWidget(self._form.native)
