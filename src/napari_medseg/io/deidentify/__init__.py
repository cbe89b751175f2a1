"""De-identification of DICOM files by the Basic Application Level Confidentiality Profile (DICOM PS3.15, Annex E)."""

from napari_medseg.io.deidentify.pseudonyms import Pseudonyms
from napari_medseg.io.deidentify.run import DeidentifyOptions, Outcome, Summary, deidentify

__all__ = ["DeidentifyOptions", "Outcome", "Pseudonyms", "Summary", "deidentify"]
