"""From a model to the specification of one that goes on from it, for the user's own classes."""

from collections.abc import Sequence

from napari_medseg.errors import ConfigError
from napari_medseg.models.family import is_registered, title
from napari_medseg.models.pipeline import NnUNet
from napari_medseg.models.spec import BACKGROUND, ModelSpec
from napari_medseg.volume import LabelClass


def fine_tuned_spec(start: ModelSpec, name: str, classes: Sequence[LabelClass]) -> ModelSpec:
    """Return what a model will be that is trained further.

    Of a model of nnU-Net that has several folds, the first goes on. Classes that overlap become classes that exclude
    each other.

    Parameters
    ----------
    start : ModelSpec
        Of the model to go on from.
    name : str
        Of the new model.
    classes : sequence of LabelClass
        To tell apart; background is added if it is not there.

    Raises
    ------
    ConfigError
        If the model cannot be trained further.
    """
    check_trainable(start)
    background = next((c for c in (*classes, *start.classes) if not c.value), BACKGROUND)
    foreground = tuple(sorted((c for c in classes if c.value), key=lambda c: c.value))
    options = start.options | ({"folds": 1} if start.architecture == "nnunet" else {})
    return ModelSpec.model_validate(
        start.model_dump()
        | {
            "name": name,
            "classes": (background, *foreground),
            "output": "classes",
            "options": options,
            "metrics": {},
            "description": "",
            "training_data": (),
        }
    )


def is_trainable(spec: ModelSpec) -> bool:
    """Return whether a model for segmentation is one network, which can be trained further."""
    return spec.task == "segmentation" and is_registered(spec) and isinstance(spec.pipeline, NnUNet | None)


def check_trainable(spec: ModelSpec) -> None:
    """Raise `ConfigError` unless a segmentation of this kind can be trained."""
    if spec.task != "segmentation":
        raise ConfigError(
            f"{spec.name} is a model for {spec.task}; this trains a segmentation.", "Start from another model."
        )
    if not is_trainable(spec):
        raise ConfigError(
            f"{spec.name} cannot be trained further: it is of the kind '{title(spec)}'.",
            "Start from a model that is one network, such as one that was trained here, or from scratch.",
        )
