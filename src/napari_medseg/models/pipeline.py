"""What a model does around its network, where that is more than axes, voxel size and one intensity rule."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Normalisation(_Part):
    """How the values of one channel become input of an nnU-Net."""

    scheme: Literal["ct", "zscore", "none", "rescale01", "rgb01"]
    """``ct``: clip to `low` and `high`, subtract `mean`, divide by `deviation`. ``zscore``: with the image's own mean
    and deviation. ``rescale01``: smallest and largest value to 0 and 1. ``rgb01``: divide by 255."""
    masked: bool = False
    """For ``zscore``: only over voxels inside the nonzero region, and only those change."""
    mean: float = 0.0
    deviation: float = 1.0
    low: float = 0.0
    high: float = 0.0


class Resampling(_Part):
    """One of nnU-Net's functions that change the voxel size."""

    function: Literal[
        "resample_data_or_seg_to_shape",
        "resample_torch_fornnunet",
        "resample_torch_simple",
        "no_resampling_data_or_seg_to_shape",
    ] = "resample_data_or_seg_to_shape"
    arguments: dict[str, str | int | float | bool | None] = Field(default_factory=dict)


class NnUNet(_Part):
    """nnU-Net's way: crop to what is not zero, normalise per channel, resample, tiles that overlap by half."""

    kind: Literal["nnunet"] = "nnunet"
    configuration: str
    """Such as ``3d_fullres``."""
    orientation: Literal["file", "RAS"] = "file"
    """The array that the network was trained on: as it lies in the file, or turned to right, anterior, superior."""
    transpose: tuple[int, int, int] = (0, 1, 2)
    """Axis of that array, last file axis first, that each axis of the network's grid runs along."""
    spacing: tuple[float, ...]
    """Voxel size in mm along the axes of the network's grid; two numbers for a network for planes."""
    normalisation: tuple[Normalisation, ...]
    """One per channel."""
    image_resampling: Resampling = Resampling()
    logits_resampling: Resampling = Resampling()
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Least share of a tile that it has in common with the next."""


class Ensemble(_Part):
    """Several models for the same classes; the mean of their probabilities counts."""

    kind: Literal["ensemble"] = "ensemble"
    members: Annotated[int, Field(ge=2)]
    """How many."""
    weights: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    """Of each member in the mean; None: all count the same."""
    temperatures: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    """What each member's logits are divided by before they become probabilities: more than 1 for a member that is surer
    of itself than it should be (Guo et al., arXiv 1706.04599). None: 1 for all."""

    @model_validator(mode="after")
    def _one_each(self) -> "Ensemble":
        for name, values in (("weights", self.weights), ("temperatures", self.temperatures)):
            if values is not None and len(values) != self.members:
                raise ValueError(f"{self.members} members need as many {name}; got {len(values)}")
        return self

    @property
    def shares(self) -> tuple[float, ...]:
        """Of each member in the mean; they sum to 1."""
        weights = self.weights or (1.0,) * self.members
        return tuple(weight / sum(weights) for weight in weights)


class Parts(_Part):
    """Several models for different classes of the same image; each gives its own."""

    kind: Literal["parts"] = "parts"
    tables: Annotated[tuple[dict[int, int], ...], Field(min_length=1)]
    """For each model, the label value that each of its label values becomes; those that are missing become
    background. Where several models find something, the last one counts."""
    spacing: tuple[float, float, float] | None = None
    """Voxel size in mm, along right, anterior, superior, to which the image is brought, as whole numbers, before the
    models see it; the labels come back by the nearest voxel. None keeps its voxels. The image is always turned to
    right, anterior, superior."""


class MonaiConfig(_Part):
    """The configuration of a MONAI bundle that executes code: all of it is done by MONAI."""

    kind: Literal["monai"] = "monai"
    image_key: str = "image"
    output_key: str = "pred"
    digest: str
    """SHA-256 of everything in the folder, to which the user's trust belongs."""


Pipeline = Annotated[NnUNet | Ensemble | Parts | MonaiConfig, Field(discriminator="kind")]
