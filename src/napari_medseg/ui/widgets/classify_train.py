"""The Train tab of the Classify panel."""

from collections.abc import Callable, Sequence
from pathlib import Path

from qtpy.QtWidgets import QWidget

from napari_medseg.errors import ConfigError
from napari_medseg.training.classification import ClassificationConfig
from napari_medseg.ui.examples import Example, lay_out
from napari_medseg.ui.widgets.network_choice import NetworkChoice, WeightsChoice
from napari_medseg.ui.widgets.scored_train import ScoredTrain, Sources

COLORS = {"auc": "#4363d8", "accuracy": "#e8a33d", "kappa": "#3cb44b"}


class TrainClassesTab(ScoredTrain[ClassificationConfig]):
    """Trains on the examples that have a class.

    Parameters
    ----------
    examples : callable
        Returns the examples.
    parent : QWidget, optional
        Owner.
    """

    shown = ("minutes", "answer")
    own_widget = ("device", "architecture", "pretrained")

    def __init__(self, examples: Callable[[], Sequence[Example]], parent: QWidget | None = None) -> None:
        self._examples = examples
        self.network, self.weights = NetworkChoice(), WeightsChoice()
        own: dict[str, QWidget] = {"Network": self.network, "Weights": self.weights}
        super().__init__(ClassificationConfig(), "classification", ("Train", "Score"), COLORS, own, parent)
        self.network.choose(self._config.architecture)
        self.weights.choose(self._config.pretrained)
        self.train_button.setToolTip("Train in the background on all rows of the Label tab that have a class")

    def _own_values(self) -> dict[str, object]:
        return {"architecture": self.network.name, "pretrained": self.weights.weights}

    def _collected(self) -> Callable[[Path], Sources]:
        examples = [example for example in self._examples() if example.label]
        if len({example.label for example in examples}) < 2:
            raise ConfigError("Two classes are needed to learn.", "Give some images another class in Label.")
        return lay_out(examples)
