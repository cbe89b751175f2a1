"""MeshNets of brainchop, which segment a whole head MRI."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from napari_medseg.errors import BundleError
from napari_medseg.models.bundle import Bundle
from napari_medseg.models.importing.checkpoint import import_checkpoint
from napari_medseg.models.spec import Intensity, ModelSpec
from napari_medseg.volume import LabelClass

CONFORMED = 256
"""Edge of the cube in mm that the networks were trained on."""
TILE = 128
"""Edge of a tile for networks whose logits of a whole head would take many gigabytes."""
FEW_CLASSES = 20
WHOLE_RANGE = ("model5_gw_ae", "model11_gw_ae", "model21_104class")
"""Networks whose authors map the smallest and largest value to 0 and 1; the others take the 2 and 98 percentiles."""
CITATION = (
    "Masoud et al., Brainchop: In-browser MRI volumetric segmentation and rendering, JOSS 8 (2023), "
    "doi 10.21105/joss.05098"
)


class _Layer(BaseModel):
    in_channels: int
    out_channels: int
    kernel: int
    padding: int
    dilation: int
    bias: bool


class _Description(BaseModel):
    name: Annotated[str, Field(min_length=1)]
    activation: Literal["ReLU", "ELU", "GELU"]
    layers: Annotated[list[_Layer], Field(min_length=2)]
    labels: Annotated[list[str], Field(min_length=2)]
    instance_norm_after_each_hidden_conv: bool = False

    @model_validator(mode="after")
    def _is_meshnet(self) -> Self:
        *hidden, last = self.layers
        regular = all(
            (layer.kernel, layer.padding, layer.out_channels, layer.bias)
            == (3, layer.dilation, hidden[0].out_channels, hidden[0].bias)
            for layer in hidden
        )
        if not regular or last.kernel != 1 or last.out_channels != len(self.labels):
            raise ValueError("the layers are not those of a MeshNet with one output per label")
        return self


def import_brainchop(description: Path | str, patch_size: tuple[int, int, int] | None = None) -> Bundle:
    """Return the bundle of one of brainchop's networks.

    The network sees the head on the axes and voxels that it was trained on: 1 mm, axes growing to the left, to the feet
    and to the front. Each voxel looks up to 46 voxels far, so tiles that do not hold the whole head give other labels
    at some voxels near their borders.

    Parameters
    ----------
    description : path
        JSON file with ``layers``, ``activation`` and ``labels``; the weights lie beside it as ``.safetensors``.
    patch_size : tuple of int, optional
        Voxels of a tile; by default the whole conformed head, or a smaller tile for more than `FEW_CLASSES` classes.

    Returns
    -------
    Bundle
        In memory; `Bundle.save` or `install` keeps it.

    Raises
    ------
    BundleError
        If the files are not a MeshNet that this package can build.

    Examples
    --------
    >>> from napari_medseg.models import install
    >>> install(import_brainchop("brainchop-meshnet/model18cls.json"))  # doctest: +SKIP
    """
    path = Path(description).expanduser()
    found = _read(path)
    edge = CONFORMED if len(found.labels) <= FEW_CLASSES else TILE
    return import_checkpoint(path.with_suffix(".safetensors"), _spec(found, patch_size or (edge,) * 3))


def _read(path: Path) -> _Description:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        return _Description.model_validate(content)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise BundleError(
            f"{path.name} does not describe a MeshNet of brainchop ({reason}).", "Choose the JSON beside the weights."
        ) from error


def _spec(found: _Description, patch_size: tuple[int, int, int]) -> ModelSpec:
    *hidden, _ = found.layers
    whole = found.name in WHOLE_RANGE
    return ModelSpec(
        name=found.name,
        architecture="meshnet",
        options={
            "features": hidden[0].out_channels,
            "dilations": [layer.dilation for layer in hidden],
            "activation": found.activation.lower(),
            "instance_norm": found.instance_norm_after_each_hidden_conv,
            "bias": hidden[0].bias,
        },
        channels=hidden[0].in_channels,
        classes=tuple(
            LabelClass(value=value, name=name if value else "background") for value, name in enumerate(found.labels)
        ),
        axcodes="LIA",
        spacing=(1.0, 1.0, 1.0),
        intensity=Intensity(kind="minmax") if whole else Intensity(kind="percentile", low=2.0, high=98.0),
        patch_size=patch_size,
        modality="MR",
        description="Segments a T1-weighted MRI of the whole head; a MeshNet of brainchop.",
        licence="MIT",
        citation=CITATION,
    )
