"""The steps that may follow the network, as values that can be kept in a file."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_medseg.volume import LabelClass


class _Step(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    classes: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = ()
    """Values of the classes that it works on, each by itself; empty for all but background."""


class KeepLargest(_Step):
    """Keep the largest connected components of a class; the others become background.

    Examples
    --------
    >>> KeepLargest(classes=(3,)).model_dump()
    {'classes': (3,), 'kind': 'largest', 'components': 1}
    """

    kind: Literal["largest"] = "largest"
    components: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many to keep; of equals, the one that comes first in the array."""


class RemoveSmall(_Step):
    """Turn connected components below a size into background."""

    kind: Literal["remove_small"] = "remove_small"
    below_mm3: Annotated[float, Field(gt=0)] | None = None
    """Components of less volume than this go."""
    below_voxels: Annotated[int, Field(gt=0)] | None = None
    """Components of fewer voxels than this go."""

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if (self.below_mm3 is None) == (self.below_voxels is None):
            raise ValueError("give either below_mm3 or below_voxels")
        return self


class FillHoles(_Step):
    """Give background that a class encloses to that class.

    Other classes in a hole stay. Background that several classes enclose goes to the innermost.
    """

    kind: Literal["fill_holes"] = "fill_holes"


class Smooth(_Step):
    """Smooth borders: every voxel goes to the class that is strongest around it, by a Gaussian.

    Voxels of classes that are not chosen stay. Where its own class is as strong as another, a voxel keeps it.
    """

    kind: Literal["smooth"] = "smooth"
    sigma_mm: Annotated[float, Field(gt=0, le=50)] = 1.0
    """Standard deviation of the Gaussian; in voxels for an image without geometry."""


class Merge(_Step):
    """Make several classes one."""

    kind: Literal["merge"] = "merge"
    into: LabelClass
    """The class that takes their place: one of them, another of the model's, or a new one; 0 drops them."""


Step = Annotated[KeepLargest | RemoveSmall | FillHoles | Smooth | Merge, Field(discriminator="kind")]


class PostProcessing(BaseModel):
    """Steps in the order in which they are done.

    Examples
    --------
    >>> PostProcessing.model_validate({"steps": [{"kind": "largest"}, {"kind": "smooth", "sigma_mm": 2}]}).steps[1]
    Smooth(classes=(), kind='smooth', sigma_mm=2.0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    steps: tuple[Step, ...] = ()
    """First to last."""
