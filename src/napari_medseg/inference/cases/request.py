"""What shall be predicted on, how, and where to."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from napari_medseg.inference.options import PredictOptions
from napari_medseg.models import Bundle


class Case(BaseModel):
    """One image of many."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: Annotated[str, Field(min_length=1)]
    """Unique among the cases; the name of what is written about it, without suffix."""
    path: Path
    """File or folder for `napari_medseg.io.read`."""
    series_id: str | None = None
    """Which of the series in `path`; None where there is just one."""


class PredictRequest(BaseModel):
    """How to predict on many images. The same for all of them, and small enough to travel to other computers."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    bundle: Path
    """The model's folder."""
    bundle_name: str
    bundle_hash: str
    """SHA-256 of its weights and specification."""
    folder: Path
    """For the results."""
    options: PredictOptions = PredictOptions()
    """How to predict on each."""
    format: str = "nii.gz"
    """In what the results are written: a suffix, or another name of `savers`."""
    redo: bool = False
    """Whether cases that are done already are done again."""

    @classmethod
    def of(cls, bundle: Bundle, folder: Path, **values: object) -> Self:
        """Return a request for a bundle that is on disk; all paths are made absolute."""
        if bundle.path is None:
            raise ValueError("The bundle must be saved first.")
        own = {"bundle": bundle.path, "bundle_name": bundle.spec.name, "bundle_hash": bundle.hash}
        return cls.model_validate({**own, "folder": folder.resolve(), **values})
