"""What is in the folder of the training of a network that gives images."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from napari_medseg.models.spec import ModelSpec
from napari_medseg.training.restoration.config import EnhancementConfig, SuperResolutionConfig


class RestorationRun(BaseModel):
    """What is trained, on what, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    spec: ModelSpec
    """The model to be made."""
    images: tuple[tuple[Path, str | None], ...]
    """Files or folders, each with the series that is meant where it holds several."""
    held_out: tuple[int, ...] = ()
    """Numbers of the images that are kept out of training, to score on."""
    train: SuperResolutionConfig | EnhancementConfig
    init: Path | None = None
    """Folder of the bundle to start from."""
