"""What the kinds of DICOM images that are written ask for beyond what all have in common."""

from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
)

from napari_medseg.errors import WriteError
from napari_medseg.io.dicom.out.identity import CT, MR, PT
from napari_medseg.volume import Volume

PT_UNITS = {"Bq/ml": "BQML", "g/ml": "GML", "counts": "CNTS"}

UNKNOWN = (
    "The image does not say how it was acquired, so the series is written as MR in research mode. Name another kind, "
    "CT, if that is wrong."
)


@dataclass(frozen=True)
class Kind:
    """A kind of image."""

    modality: str
    sop_class: UID
    keep: str = ""
    """Keywords that are taken over from the source."""
    empty: str = ""
    """Keywords that must be there and may be empty."""
    fixed: dict[str, str] = field(default_factory=dict)
    """What must have a value, where the source has none."""
    needed: str = ""
    """Keywords that the source must have."""
    image_type: tuple[str, ...] = ("DERIVED", "SECONDARY")

    def fill(self, dataset: Dataset) -> None:
        """Complete a data set that has what the source could give.

        Raises
        ------
        WriteError
            If the source lacks what nobody may make up.
        """
        for keyword in self.needed.split():
            if keyword not in dataset:
                raise WriteError(
                    f"A series of modality {self.modality} needs {keyword}, which its source does not have.",
                    "Write it as .nii.gz.",
                )
        for keyword in self.empty.split():
            if keyword not in dataset:
                setattr(dataset, keyword, "")
        # Needed where it is not known which part of the body is seen, and forbidden where that part is no pair.
        if "BodyPartExamined" not in dataset and "AnatomicRegionSequence" not in dataset:
            dataset.setdefault("Laterality", "")
        for keyword, value in self.fixed.items():
            if not dataset.get(keyword):
                setattr(dataset, keyword, value)
        self._settle(dataset)

    def _settle(self, dataset: Dataset) -> None:
        """Leave out or add, empty, what depends on other elements."""
        if "PatientOrientationCodeSequence" in dataset:
            dataset.pop("PatientPosition", None)
        if self.modality == "MR":
            if "IR" not in _values(dataset, "ScanningSequence"):
                dataset.pop("InversionTime", None)
            if {"CG", "PPG"} & _values(dataset, "ScanOptions"):
                dataset.setdefault("TriggerTime", None)


def _values(dataset: Dataset, keyword: str) -> set[str]:
    found = dataset.get(keyword) or ()
    return {found} if isinstance(found, str) else set(found)


KINDS = {
    "CT": Kind(
        "CT", CTImageStorage, CT, "KVP AcquisitionNumber PatientPosition", image_type=("DERIVED", "SECONDARY", "AXIAL")
    ),
    "MR": Kind(
        "MR",
        MRImageStorage,
        MR,
        "ScanOptions MRAcquisitionType RepetitionTime EchoTime EchoTrainLength PatientPosition",
        {"ScanningSequence": "RM", "SequenceVariant": "NONE"},
        image_type=("DERIVED", "SECONDARY", "OTHER"),
    ),
    "PT": Kind(
        "PT",
        PositronEmissionTomographyImageStorage,
        PT,
        "CorrectedImage CollimatorType PatientPosition",
        needed="Units SeriesType DecayCorrection CountsSource SeriesDate SeriesTime FrameReferenceTime",
        # PET knows no other second value.
        image_type=("DERIVED", "PRIMARY"),
    ),
}


def kind_of(volume: Volume, source: Dataset | None) -> tuple[Kind, tuple[str, ...]]:
    """Return the kind of series for an image with a place in the patient, and what had to be assumed.

    Raises
    ------
    WriteError
        If DICOM has no ordinary kind of series for it.
    """
    modality = volume.modality or (None if source is None else str(source.get("Modality", ""))) or None
    if modality is None and volume.units == "HU":
        modality = "CT"
    if modality is None:
        return KINDS["MR"], (UNKNOWN,)
    if modality not in KINDS or (modality == "PT" and (source is None or source.get("Modality") != "PT")):
        raise WriteError(
            f"{volume.name} is of modality {modality}; DICOM series are written as CT or MR, or as PET from PET.",
            "Write it as .nii.gz.",
        )
    return KINDS[modality], ()


def picture(volume: Volume, source: Dataset | None) -> Kind:
    """Return the kind of a picture without a place in the patient."""
    modality = volume.modality or ("OT" if source is None else str(source.get("Modality") or "OT"))
    return Kind(modality, SecondaryCaptureImageStorage, "", "PatientOrientation", {"ConversionType": "WSD"})
