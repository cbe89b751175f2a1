"""What may be done to a label map after the network: pure functions, described by JSON-able steps. Loads no torch."""

from napari_medseg.inference.postprocess.apply import postprocess
from napari_medseg.inference.postprocess.steps import (
    FillHoles,
    KeepLargest,
    Merge,
    PostProcessing,
    RemoveSmall,
    Smooth,
    Step,
)

__all__ = ["FillHoles", "KeepLargest", "Merge", "PostProcessing", "RemoveSmall", "Smooth", "Step", "postprocess"]
