"""Who and what a written file belongs to: patient, study and frame of reference of its source, or nobody."""

from copy import deepcopy
from datetime import datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

from pydicom.config import RAISE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_file_meta_info
from pydicom.multival import MultiValue
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import validate_value

from napari_medseg.io.dicom.decode import MAKER
from napari_medseg.io.dicom.parser import looks_like_dicom

IMPLEMENTATION = UID("2.25.272778181288839723867567719703733759258")
"""Implementation Class UID: files with it are ours."""

PATIENT = """PatientName PatientID IssuerOfPatientID PatientBirthDate PatientSex PatientBirthTime OtherPatientIDs
EthnicGroup PatientIdentityRemoved DeidentificationMethod DeidentificationMethodCodeSequence PatientSpeciesDescription
PatientSpeciesCodeSequence PatientBreedDescription PatientBreedCodeSequence ResponsiblePerson ResponsibleOrganization
ClinicalTrialSponsorName ClinicalTrialProtocolID ClinicalTrialProtocolName ClinicalTrialSiteID ClinicalTrialSiteName
ClinicalTrialSubjectID ClinicalTrialSubjectReadingID"""
STUDY = """StudyInstanceUID StudyDate StudyTime ReferringPhysicianName StudyID AccessionNumber
IssuerOfAccessionNumberSequence StudyDescription PhysiciansOfRecord ReferencedStudySequence ProcedureCodeSequence
ClinicalTrialTimePointID ClinicalTrialTimePointDescription PatientAge PatientSize PatientWeight
LongitudinalTemporalInformationModified"""
PLACE = "FrameOfReferenceUID PositionReferenceIndicator"
SERIES = """PatientPosition Laterality BodyPartExamined AnatomicRegionSequence ProtocolName LossyImageCompression
LossyImageCompressionRatio LossyImageCompressionMethod BurnedInAnnotation ContrastBolusAgent ContrastBolusRoute
ContrastBolusVolume AcquisitionDate AcquisitionTime AcquisitionNumber"""
CT = """KVP ScanOptions DataCollectionDiameter ReconstructionDiameter GantryDetectorTilt TableHeight RotationDirection
ExposureTime XRayTubeCurrent Exposure FilterType FocalSpots ConvolutionKernel"""
MR = """ScanningSequence SequenceVariant ScanOptions MRAcquisitionType SequenceName RepetitionTime EchoTime
EchoTrainLength InversionTime NumberOfAverages ImagingFrequency ImagedNucleus EchoNumbers MagneticFieldStrength
FlipAngle"""
PT = """Units SeriesType CorrectedImage DecayCorrection CollimatorType CountsSource ReconstructionMethod
RandomsCorrectionMethod ScatterCorrectionMethod AttenuationCorrectionMethod ReconstructionDiameter SeriesDate SeriesTime
RadiopharmaceuticalInformationSequence PatientOrientationCodeSequence PatientGantryRelationshipCodeSequence
FrameReferenceTime ActualFrameDuration DecayFactor SUVType"""
EQUIPMENT = "Manufacturer InstitutionName StationName ManufacturerModelName DeviceSerialNumber SoftwareVersions"
MUST_BE_THERE = """PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime ReferringPhysicianName StudyID
AccessionNumber PositionReferenceIndicator"""
"""May be empty, may not be absent."""
COPIED = frozenset(f"{PATIENT} {STUDY} {PLACE} {SERIES} {CT} {MR} {PT} {EQUIPMENT}".split())
STRINGS = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI"))


def copied(source: Dataset, keywords: str) -> Dataset:
    """Return those of the elements that a header has, but for values that DICOM forbids and empty ones that may go."""
    found = Dataset()
    for keyword in keywords.split():
        if keyword in source:
            found.add(deepcopy(source[keyword]))
    return cleaned(found)


def cleaned(dataset: Dataset) -> Dataset:
    """Leave out of the patient, study and other copied elements what DICOM forbids, and return the data set."""
    for element in list(dataset):
        if element.keyword in COPIED and not _may_stay(element):
            del dataset[element.tag]
    # Who says that the patient's identity was removed has to say how.
    if "DeidentificationMethod" not in dataset and "DeidentificationMethodCodeSequence" not in dataset:
        dataset.pop("PatientIdentityRemoved", None)
    return dataset


def _may_stay(element: DataElement) -> bool:
    if element.keyword in MUST_BE_THERE.split() or element.VR in ("SQ", "UI"):
        return element.VR != "SQ" or bool(element.value)
    if element.is_empty:
        return False
    try:
        values = element.value if isinstance(element.value, MultiValue) else [element.value]
        for value in values:
            validate_value(element.VR, str(value) if element.VR in STRINGS else value, RAISE)
    except ValueError:
        return False
    return True


def completed(headers: list[Dataset]) -> Dataset:
    """Decode the text of the headers of a series, add what every object of a study must have, and return the first.

    What is not known stays empty. Identifiers of study, series and frame of reference that are absent are derived from
    what is there, so that all files written for the series agree.
    """
    first = headers[0]
    for header in headers:
        header.decode()
        for keyword in MUST_BE_THERE.split():
            if keyword not in header:
                setattr(header, keyword, "")
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            if not header.get(keyword):
                setattr(header, keyword, first.get(keyword) or _derived_uid(first, keyword))
    return first


def _derived_uid(header: Dataset, keyword: str) -> UID:
    known = [str(header.get(key, "")) for key in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
    return generate_uid(entropy_srcs=[keyword, *known])


def anonymous() -> Dataset:
    """Return a header for an image of which nobody knows whose it is; each gets an identity of its own."""
    header = Dataset()
    header.PatientID = f"ANON-{generate_uid(None)[-12:]}"
    header.PatientName = "ANONYMOUS^"
    return completed([header])


def sign(dataset: Dataset, sop_class: UID, transfer_syntax: UID = ExplicitVRLittleEndian) -> Dataset:
    """Return a data set marked as one of ours, new, in Unicode, and ready to be saved."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = transfer_syntax
    meta.ImplementationClassUID = IMPLEMENTATION
    meta.ImplementationVersionName = MAKER.upper()
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID = sop_class
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = generate_uid(None)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.Manufacturer = dataset.ManufacturerModelName = MAKER
    dataset.SoftwareVersions = software_version()
    now = datetime.now()
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    dataset.file_meta = meta
    return dataset


@cache
def software_version() -> str:
    """Return the version of this package, as far as an element of 64 characters holds it."""
    return version(MAKER)[:64]


def series_number(header: Dataset) -> int:
    """Return a number for a series made from another one, next to it in a list and not in its way."""
    number = int(header.get("SeriesNumber") or 0)
    return number * 100 + 1 if 0 < number < 1_000_000 else 1


def is_ours(folder: Path) -> bool:
    """Return whether a folder holds DICOM files that this package wrote, and nothing else."""
    return all(_is_our_file(entry) for entry in folder.iterdir())


def _is_our_file(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if not looks_like_dicom(file.read(132)):
            return False
    return bool(read_file_meta_info(path).get("ImplementationClassUID") == IMPLEMENTATION)
