"""How to train: what to start from, the kind of network, for how long; the rest folded away."""

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QLineEdit, QWidget

from napari_medseg.errors import ConfigError
from napari_medseg.models.design import Design
from napari_medseg.training import TrainConfig
from napari_medseg.ui.forms import Form
from napari_medseg.ui.run_layout import TrainPlan
from napari_medseg.ui.settings import recall, remember
from napari_medseg.ui.widgets.bundle_choice import BundleChoice
from napari_medseg.ui.widgets.device_choice import DeviceChoice
from napari_medseg.ui.widgets.rate_trial import RateTrial
from napari_medseg.ui.widgets.section import add_row, folded, rows, stacked

if TYPE_CHECKING:
    from napari_medseg.models import Bundle
    from napari_medseg.volume import LabelClass

CONFIG_FORM, DESIGN_FORM = "train", "design"
SHOWN = ("minutes",)
OWN_WIDGET = ("device",)
FOR_MEASUREMENTS = ("clock",)


class TrainSetup(QWidget):
    """The settings of a training that is to be started.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        config = recall(CONFIG_FORM, TrainConfig())
        rest = [name for name in TrainConfig.model_fields if name not in SHOWN + OWN_WIDGET + FOR_MEASUREMENTS]
        self.name = QLineEdit(self)
        self.name.setPlaceholderText("from the classes")
        self.name.setToolTip("What the new model is called")
        self.start = BundleChoice("Scratch", self, tasks=("segmentation",))
        self.start.setToolTip("A new network with random weights, or a model that is trained further")
        self.design = Form(recall(DESIGN_FORM, Design()))
        self.time = Form(config, SHOWN)
        self.advanced = Form(config, rest)
        self.device = DeviceChoice(self)
        self.complete = QCheckBox("What is not painted is background", self)
        self.complete.setToolTip(
            "Tick only if every voxel of a class is painted, as in a finished segmentation. "
            "Otherwise what is not painted counts as not looked at, and background is painted like a class."
        )
        layout = stacked(self)
        layout.addWidget(self.complete)
        form = rows(("Start from", self.start), ("Name", self.name))
        self.design.add_rows_to(form)
        self.time.add_rows_to(form)
        add_row(form, "Device", self.device)
        layout.addLayout(form)
        self.rate = RateTrial(self)
        advanced = QWidget(self)
        inside = stacked(advanced)
        inside.addWidget(self.advanced.native)
        inside.addWidget(self.rate)
        layout.addWidget(folded("Advanced", advanced))
        self.rate.proposed.connect(self._take_rate)
        self.start.chosen.connect(self._on_start_chosen)

    def plan(self, classes: "tuple[LabelClass, ...]") -> TrainPlan:
        """Return what the user decided, and remember it.

        Raises
        ------
        ConfigError
            If the values do not go together.
        """
        if not classes:
            raise ConfigError("There is no class to learn.", "Add a class to the table and paint it.")
        config = self.advanced.values().model_copy(update={"minutes": self.time.values().minutes})
        design = self.design.values()
        remember(CONFIG_FORM, config.model_copy(update={"device": TrainConfig().device}))
        remember(DESIGN_FORM, design)
        return TrainPlan(
            name=self.name.text().strip() or ", ".join(c.name for c in classes)[:60],
            classes=classes,
            design=design,
            start=self.start.bundle,
            config=config.model_copy(update={"device": self.device.device}),
            complete=self.complete.isChecked(),
        )

    def _take_rate(self, rate: float) -> None:
        self.advanced.show(self.advanced.values().model_copy(update={"learning_rate": rate}))

    def _on_start_chosen(self, bundle: "Bundle | None") -> None:
        self.design.show_rows(bundle is None)
