"""What kind of thing a model is, in words."""

from napari_medseg.models.pipeline import Ensemble, MonaiConfig, Parts
from napari_medseg.models.program import PROGRAMS
from napari_medseg.models.registry import architecture
from napari_medseg.models.spec import ModelSpec

SEVERAL = "several"
"""`ModelSpec.architecture` of a model that is made of others."""
CONFIG = "monai-config"
"""`ModelSpec.architecture` of a MONAI bundle that is run by its own configuration."""
TITLES = {
    "torchscript": "TorchScript program",
    "exported": "Exported PyTorch program",
    CONFIG: "MONAI bundle run by its own configuration, which executes code",
}


def title(spec: ModelSpec) -> str:
    """Return what the model is, as shown to the user."""
    if isinstance(spec.pipeline, Ensemble):
        kind = "Mean" if spec.pipeline.weights is None else "Weighted mean"
        return f"{kind} of {spec.pipeline.members} models"
    if isinstance(spec.pipeline, Parts):
        return f"{len(spec.pipeline.tables)} models, each for some of the classes"
    return TITLES.get(spec.architecture) or architecture(spec.architecture).title


def citation(spec: ModelSpec) -> str:
    """Return where the architecture was published; empty if nobody says."""
    return architecture(spec.architecture).citation if is_registered(spec) else ""


def is_registered(spec: ModelSpec) -> bool:
    """Return whether the network is built from a registered architecture and a state dictionary."""
    return not (spec.architecture in PROGRAMS or isinstance(spec.pipeline, Ensemble | Parts | MonaiConfig))


def runs_in_monai(spec: ModelSpec) -> bool:
    """Return whether MONAI alone gives the same labels from our configuration."""
    return spec.task == "segmentation" and is_registered(spec) and spec.pipeline is None and spec.output == "classes"
