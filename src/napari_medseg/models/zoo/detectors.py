"""Networks that find boxes: one-stage detectors and RetinaNet in two and three dimensions, R-CNNs in two."""

from functools import partial
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from napari_medseg.errors import BundleError
from napari_medseg.models.registry import NetworkDef, register
from napari_medseg.models.spec import ModelSpec

TASKS = ("detection",)
PLANES = (
    "plain", "squeezenet1_0", "squeezenet1_1", "mobilenet_v3_small", "mobilenet_v3_large", "resnet18", "resnet34",
    "resnet50",
)  # fmt: skip
VOLUMES = ("plain", "resnet10", "resnet18", "resnet50")
PUBLISHED = "resnet50_fpn"
"""Backbone of torchvision's R-CNNs as they were published, for weights learnt on COCO."""
Size = tuple[Annotated[float, Field(gt=0)], ...]


class DetectorOptions(BaseModel):
    """What may be set of a detector."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    backbone: str = "plain"
    """What sees the image: ``plain``, or a name of torchvision (planes) or MONAI (volumes)."""
    strides: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)] = (8,)
    """Voxels of the image per voxel of each feature map that boxes are found on, each twice that of the one before."""
    anchors: tuple[tuple[Size, ...], ...] = ()
    """For each map, sizes of boxes to begin with, along the axes of the image; empty for four times the stride."""
    width: Annotated[int, Field(ge=8, le=512, multiple_of=8)] = 96
    """Channels of the heads."""
    body: Annotated[int, Field(ge=4, le=128, multiple_of=4)] = 16
    """Channels of the first layer of a plain backbone."""


class OneStageOptions(DetectorOptions):
    """What may be set of a one-stage detector."""

    depth: Annotated[int, Field(ge=0, le=4)] = 1
    """Convolutions of each head."""


def _anchored(kind: str, spec: ModelSpec, options: DetectorOptions) -> NetworkDef:
    known = PLANES if spec.dims == 2 else VOLUMES
    if options.backbone not in known:
        raise BundleError(
            f"{spec.name}: {options.backbone} is no backbone for {spec.dims} dimensions.", f"There is {_listed(known)}."
        )
    more = {"depth": options.depth} if isinstance(options, OneStageOptions) else {}
    return NetworkDef(
        f"napari_medseg.models.nets.detectors.anchored.{kind}",
        {"dims": spec.dims, **_common(spec, options), "body": options.body, **more},
    )


def _regions(masks: bool, spec: ModelSpec, options: DetectorOptions) -> NetworkDef:
    if options.backbone == PUBLISHED:
        arguments: dict[str, Any] = {"channels": spec.channels, "classes": len(spec.classes), "masks": masks}
        return NetworkDef("napari_medseg.models.nets.detectors.regions.published", arguments)
    if options.backbone not in PLANES:
        known = _listed((*PLANES, PUBLISHED))
        raise BundleError(f"{spec.name}: {options.backbone} is no backbone of an R-CNN.", f"There is {known}.")
    return NetworkDef(
        "napari_medseg.models.nets.detectors.regions.region_detector",
        {**_common(spec, options), "body": options.body, "masks": int(masks)},
    )


def _common(spec: ModelSpec, options: DetectorOptions) -> dict[str, Any]:
    if any(later != 2 * first for first, later in zip(options.strides, options.strides[1:], strict=False)):
        raise BundleError(f"{spec.name}: each of the strides {options.strides} must be twice the one before.")
    anchors = options.anchors or tuple(((4.0 * stride,) * spec.dims,) for stride in options.strides)
    if len(anchors) != len(options.strides) or any(len(size) != spec.dims for level in anchors for size in level):
        raise BundleError(f"{spec.name}: each stride needs anchors of {spec.dims} numbers.", "Correct the options.")
    return {
        "channels": spec.channels,
        "classes": len(spec.classes),
        "name": options.backbone,
        "strides": list(options.strides),
        "anchors": [[list(size) for size in level] for level in anchors],
        "width": options.width,
    }


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)


register(
    "onestage",
    title="One-stage detector",
    options=OneStageOptions,
    citation="Tian et al., FCOS, ICCV (2019); Zhang et al., ATSS, CVPR (2020); Li et al., Generalized Focal Loss, "
    "NeurIPS (2020)",
    tasks=TASKS,
)(partial(_anchored, "one_stage"))
register(
    "retinanet",
    title="RetinaNet (MONAI)",
    options=DetectorOptions,
    citation="Lin et al., Focal Loss for Dense Object Detection, ICCV (2017)",
    tasks=TASKS,
)(partial(_anchored, "retinanet"))
register(
    "fasterrcnn",
    title="Faster R-CNN (torchvision)",
    options=DetectorOptions,
    dims=(2,),
    citation="Ren et al., Faster R-CNN, NeurIPS (2015)",
    tasks=TASKS,
)(partial(_regions, False))
register(
    "maskrcnn",
    title="Mask R-CNN (torchvision)",
    options=DetectorOptions,
    dims=(2,),
    citation="He et al., Mask R-CNN, ICCV (2017)",
    tasks=TASKS,
)(partial(_regions, True))
