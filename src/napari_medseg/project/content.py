"""What ``project.json`` says."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_medseg.errors import ReadError

FILE = "project.json"


class ImageReference(BaseModel):
    """Where an image is, and how to know that it is the same one."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    path: Annotated[str, Field(min_length=1)]
    """Relative to the project's folder for a copy inside it, else absolute. The only place in the project that can hold
    words of the user's own folders."""
    series: str = ""
    """Which series, where the path holds several."""
    fingerprint: Annotated[str, Field(min_length=1)]
    """Of voxels and grid; see `napari_medseg.project.fingerprint`."""


class CaseEntry(BaseModel):
    """An image with its label map."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: Annotated[str, Field(pattern=r"^case-\d{3,}$")]
    """Name of the case's folder."""
    name: Annotated[str, Field(min_length=1, max_length=100)]
    """As the user calls it; numbered unless they do."""
    images: tuple[ImageReference, ...] = ()
    """What the labels were drawn on; empty for an image that has no file and is too large to be copied."""
    group: str = ""
    """Patient; cases of one group are never split between training and validation. Empty: a group of its own."""
    split: Literal["train", "test"] = "train"
    """Test cases are never trained on."""
    notes: str = ""


class ProjectContent(BaseModel):
    """All that a project is, but its arrays."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    version: Literal[1] = 1
    """Of this layout."""
    name: Annotated[str, Field(max_length=100)] = ""
    created: str = ""
    """Date and time in UTC, in ISO 8601."""
    cases: tuple[CaseEntry, ...] = ()
    notes: str = ""

    @model_validator(mode="after")
    def _distinct(self) -> "ProjectContent":
        ids = [case.id for case in self.cases]
        if len(set(ids)) < len(ids):
            raise ValueError(f"cases must have distinct identifiers; got {ids}")
        return self


def load_content(folder: Path) -> ProjectContent:
    """Return what the project in a folder says; `ReadError` if there is none, or none that can be understood."""
    try:
        return ProjectContent.model_validate_json((folder / FILE).read_text(encoding="utf-8"))
    except OSError as error:
        raise ReadError(f"{folder.name} holds no project.", f"Choose a folder with a {FILE}.") from error
    except ValueError as error:
        raise ReadError(
            f"{FILE} in {folder.name} is not understood.", "Update napari-medseg, or restore the file from a backup."
        ) from error
