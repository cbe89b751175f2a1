"""Where a correction would teach a model most, and whether these suggestions beat random ones."""

from napari_medseg.data.suggest.gain import Evidence, GainMap, gain_map
from napari_medseg.data.suggest.places import Place, control_box, control_slice, suggest_box, suggest_slice
from napari_medseg.data.suggest.trials import Kind, Report, Trial, Trials, corrected_voxels

__all__ = [
    "Evidence",
    "GainMap",
    "Kind",
    "Place",
    "Report",
    "Trial",
    "Trials",
    "control_box",
    "control_slice",
    "corrected_voxels",
    "gain_map",
    "suggest_box",
    "suggest_slice",
]
