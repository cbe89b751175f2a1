"""Networks of MONAI with arguments of the user's own, as models of other makers have them."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_medseg.models.registry import NetworkDef, register
from napari_medseg.models.spec import ModelSpec

Network = Literal[
    "AttentionUnet", "BasicUNet", "DynUNet", "HighResNet", "SegResNet", "SwinUNETR", "UNet", "UNETR", "VNet"
]
FROM_SPEC = ("spatial_dims", "in_channels", "out_channels")
"""Arguments that follow from the specification."""
MARKS = ("$", "@", "%")
"""What a text begins with that MONAI would execute or look up."""


class MonaiOptions(BaseModel):
    """A network of MONAI and its arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    network: Network = "BasicUNet"
    """Name in ``monai.networks.nets``."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Its keyword arguments but for dimensions and channels, as JSON values."""

    @model_validator(mode="after")
    def _plain(self) -> Self:
        reserved = sorted(set(FROM_SPEC) & self.arguments.keys())
        if reserved:
            raise ValueError(f"{', '.join(reserved)} follow from the model")
        _check_plain(self.arguments)
        return self


@register(
    "monai",
    title="Network of MONAI",
    options=MonaiOptions,
    citation="Cardoso et al., MONAI: An open-source framework for deep learning in healthcare, arXiv 2211.02701 (2022)",
)
def monai(spec: ModelSpec, options: MonaiOptions) -> NetworkDef:
    """Return a network of ``monai.networks.nets``."""
    own = {"spatial_dims": spec.dims, "in_channels": spec.channels, "out_channels": len(spec.classes)}
    return NetworkDef(f"monai.networks.nets.{options.network}", own | options.arguments)


def _check_plain(value: object) -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str) or key.startswith("_"):
                raise ValueError(f"the key {key!r} is not a plain argument")
            _check_plain(part)
    elif isinstance(value, list | tuple):
        for part in value:
            _check_plain(part)
    elif isinstance(value, str) and value.startswith(MARKS):
        raise ValueError(f"{value!r} would be executed")
    elif not isinstance(value, str | int | float | None):
        raise ValueError(f"{value!r} is not a JSON value")
