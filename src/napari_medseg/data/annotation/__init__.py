"""What is known of a label map beside its values: who labelled a voxel, what is finished, and what is locked."""

from napari_medseg.data.annotation.accept import Accepted, Proposal, accept, check_names
from napari_medseg.data.annotation.component import component_at
from napari_medseg.data.annotation.files import FILE, load, save
from napari_medseg.data.annotation.record import HUMAN, Annotation, ModelVersion, corrected_code, model_code

__all__ = [
    "FILE",
    "HUMAN",
    "Accepted",
    "Annotation",
    "ModelVersion",
    "Proposal",
    "accept",
    "check_names",
    "component_at",
    "corrected_code",
    "load",
    "model_code",
    "save",
]
