"""Residual U-Net whose depth and kernels follow from patch and spacing (nnU-Net's architecture)."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_medseg.errors import BundleError
from napari_medseg.models.plan import MIN_STAGES, UNetPlan, plan_unet
from napari_medseg.models.registry import NetworkDef, register
from napari_medseg.models.spec import ModelSpec


class DynUNetOptions(BaseModel):
    """Size of the network. Empty `strides` and `kernels` are derived from the model's patch and spacing."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    features: Annotated[int, Field(ge=1, le=512)] = 16
    """Channels of the finest stage; each stage has twice as many as the one before."""
    max_features: Annotated[int, Field(ge=1, le=2048)] = 320
    """Most channels of any stage."""
    max_stages: Annotated[int, Field(ge=MIN_STAGES, le=9)] = 5
    """Most stages when they are derived."""
    residual: bool = True
    """Whether each stage has a short cut around its convolutions."""
    norm: Literal["instance", "batch"] = "instance"
    """``instance`` normalises each tile by itself, as nnU-Net does: a tile of nothing but air becomes noise at full
    contrast, which takes long training to unlearn. ``batch`` judges every tile by what was seen in training."""
    spacing: tuple[float, ...] | None = None
    """Typical voxel size in mm, one number per dimension of the network, from which to derive; None takes the model's
    own spacing."""
    strides: tuple[tuple[int, ...], ...] = ()
    """Step of each stage along each axis, the first all 1."""
    kernels: tuple[tuple[int, ...], ...] = ()
    """Convolution size of each stage along each axis."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.strides) != len(self.kernels) or (self.strides and len(self.strides) < MIN_STAGES):
            raise ValueError(f"strides and kernels need the same number of stages, at least {MIN_STAGES}")
        return self


@register(
    "dynunet",
    title="Residual U-Net fitted to the image (nnU-Net)",
    options=DynUNetOptions,
    citation="Isensee et al., nnU-Net: a self-configuring method for deep learning-based biomedical image "
    "segmentation, Nature Methods 18 (2021)",
)
def dynunet(spec: ModelSpec, options: DynUNetOptions) -> NetworkDef:
    """Return MONAI's DynUNet."""
    plan = _plan(spec, options)
    if any(n % d for n, d in zip(spec.patch_size, plan.divisor, strict=True)):
        raise BundleError(
            f"{spec.name}: the patch {spec.patch_size} is not a multiple of the network's strides {plan.divisor}.",
            "Change the patch size, or leave out the strides so that they are derived from it.",
        )
    strides, kernels = [list(s) for s in plan.strides], [list(k) for k in plan.kernels]
    return NetworkDef(
        "monai.networks.nets.DynUNet",
        {
            "spatial_dims": spec.dims,
            "in_channels": spec.channels,
            "out_channels": len(spec.classes),
            "kernel_size": kernels,
            "strides": strides,
            "upsample_kernel_size": strides[1:],
            "filters": [min(options.features * 2**i, options.max_features) for i in range(len(strides))],
            "norm_name": [options.norm.upper(), {"affine": True}],
            "res_block": options.residual,
        },
    )


def _plan(spec: ModelSpec, options: DynUNetOptions) -> UNetPlan:
    if options.strides:
        plan = UNetPlan(options.strides, options.kernels)
        if any(len(axes) != spec.dims for axes in (*plan.strides, *plan.kernels)):
            raise BundleError(f"{spec.name}: strides and kernels need {spec.dims} numbers per stage.")
        return plan
    spacing = options.spacing or (spec.spacing[-spec.dims :] if spec.spacing else None)
    if spacing is not None and len(spacing) != spec.dims:
        raise BundleError(f"{spec.name}: the option spacing {spacing} needs {spec.dims} numbers.")
    return plan_unet(spec.patch_size, spacing, options.max_stages)
