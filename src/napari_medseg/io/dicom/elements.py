"""Typed access to the elements of a data set: a wrong or missing value is None, never an exception."""

from functools import cache, lru_cache
from math import isfinite
from struct import calcsize, unpack_from
from typing import NamedTuple

from pydicom.datadict import dictionary_VR, tag_for_keyword

STANDARD = """
ImageType SOPClassUID SOPInstanceUID SeriesDate AcquisitionDate ContentDate AcquisitionDateTime SeriesTime
AcquisitionTime ContentTime Modality Manufacturer SeriesDescription StudyInstanceUID SeriesInstanceUID SeriesNumber
AcquisitionNumber InstanceNumber ImagePositionPatient ImageOrientationPatient FrameOfReferenceUID
TemporalPositionIdentifier SliceThickness SpacingBetweenSlices EchoTime EchoNumbers TriggerTime FrameTime
FrameTimeVector FrameReferenceTime InversionTime FlipAngle ConvolutionKernel DiffusionBValue
DiffusionGradientOrientation StackID PixelSpacing Rows Columns SamplesPerPixel PhotometricInterpretation
PlanarConfiguration NumberOfFrames BitsAllocated BitsStored HighBit PixelRepresentation PixelPaddingValue RescaleSlope
RescaleIntercept RescaleType ModalityLUTSequence WindowCenter WindowWidth RedPaletteColorLookupTableDescriptor
GreenPaletteColorLookupTableDescriptor BluePaletteColorLookupTableDescriptor RedPaletteColorLookupTableData
GreenPaletteColorLookupTableData BluePaletteColorLookupTableData SegmentedRedPaletteColorLookupTableData
SegmentedGreenPaletteColorLookupTableData SegmentedBluePaletteColorLookupTableData Units CorrectedImage
DecayCorrection PatientWeight PatientSex PatientSize RadiopharmaceuticalInformationSequence GridFrameOffsetVector
DoseGridScaling DoseUnits BurnedInAnnotation SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
DimensionIndexSequence SegmentSequence SegmentationType MaximumFractionalValue DetectorInformationSequence
StructureSetROISequence ROIContourSequence RTROIObservationsSequence ReferencedFrameOfReferenceSequence
GantryDetectorTilt TransferSyntaxUID MediaStorageSOPClassUID DirectoryRecordSequence SUVType CardiacNumberOfImages
ExtendedOffsetTable ExtendedOffsetTableLengths LossyImageCompression EffectiveEchoTime AcquisitionStartCondition
InPlanePhaseEncodingDirection ImageComments ComplexImageComponent AcquisitionMatrix DiffusionDirectionality
ActualFrameDuration
VOILUTFunction DerivationDescription
"""
"""Keywords that are kept at the top level; inside kept sequences everything is."""

PRIVATE_GROUPS = {
    0x0009: frozenset((0x0D,)),
    0x0019: frozenset((0x0A, 0x0C, 0x0E, 0xBB, 0xBC, 0xBD)),
    0x0029: frozenset((0x10,)),
    0x0043: frozenset((0x2F, 0x39)),
    0x0065: frozenset((0x09, 0x37, 0x50, 0x51)),
    0x2001: frozenset((0x03,)),
    0x2005: frozenset((0xB0, 0xB1, 0xB2)),
    0x7053: frozenset((0x00, 0x09)),
}
"""Private elements that are kept, by group and the low byte of the element."""

NUMBER_CODES = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
BULK_CODES = {"OW": "H", "OB": "B", "OF": "f", "OD": "d", "OL": "I", "OV": "Q"}

MEMORISED_BYTES = 64
"""Values of at most so many bytes are decoded once."""


class Stored(NamedTuple):
    """One element as it is encoded."""

    vr: bytes
    """Empty if the file does not say."""
    value: bytes


class Elements:
    """The elements of a data set or of one item of a sequence."""

    __slots__ = ("order", "values")

    def __init__(self, values: "dict[int, Stored | list[Elements]]", order: str) -> None:
        self.values = values
        self.order = order

    def text(self, keyword: str) -> str | None:
        """Return a value as text without padding; None if it is absent or empty."""
        return _text(self.values.get(tag_of(keyword)))

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Return the parts of a multi-valued text; empty if it is absent."""
        found = self.text(keyword)
        return tuple(part.strip() for part in found.split("\\")) if found else ()

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """Return the values of an element of any numeric kind; empty if it is absent or not finite numbers."""
        tag = tag_of(keyword)
        return self._numbers(self.values.get(tag), tag)

    def number(self, keyword: str) -> float | None:
        """Return the first value of an element; None if it is absent or not a finite number."""
        found = self.numbers(keyword)
        return found[0] if found else None

    def integer(self, keyword: str) -> int | None:
        """Return the first value as a whole number; None if it is absent or not a number."""
        found = self.number(keyword)
        return None if found is None else int(found)

    def vector(self, keyword: str, length: int) -> tuple[float, ...] | None:
        """Return exactly `length` values; None if there are fewer or more."""
        found = self.numbers(keyword)
        return found if len(found) == length else None

    def raw(self, keyword: str) -> bytes | None:
        """Return the bytes of an element."""
        found = self.values.get(tag_of(keyword))
        return found.value if isinstance(found, Stored) else None

    def items(self, keyword: str) -> "list[Elements]":
        """Return the items of a sequence; empty if it is absent."""
        found = self.values.get(tag_of(keyword))
        return found if isinstance(found, list) else []

    def item(self, keyword: str) -> "Elements | None":
        """Return the first item of a sequence."""
        found = self.items(keyword)
        return found[0] if found else None

    def private(self, creator: str, group: int, low: int) -> Stored | None:
        """Return a private element of the block that `creator` reserved in a group."""
        found = self._owned(creator, group, low)
        return found if isinstance(found, Stored) else None

    def private_items(self, creator: str, group: int, low: int) -> "list[Elements]":
        """Return the items of a private sequence; empty if it is absent."""
        found = self._owned(creator, group, low)
        return found if isinstance(found, list) else []

    def _owned(self, creator: str, group: int, low: int) -> "Stored | list[Elements] | None":
        first, last = group << 16 | 0x10, group << 16 | 0xFF
        for tag, owner in self.values.items():
            if first <= tag <= last and isinstance(owner, Stored) and _is_by(owner, creator):
                return self.values.get(group << 16 | (tag & 0xFF) << 8 | low)
        return None

    def private_numbers(self, creator: str, group: int, low: int, vr: str) -> tuple[float, ...]:
        """Return the numbers of a private element whose VR is `vr` where the file does not say."""
        found = self.private(creator, group, low)
        if found is None:
            return ()
        known = found.vr not in (b"", b"UN")
        return _decode(found.value, found.vr.decode("latin-1") if known else vr, self.order)

    def _numbers(self, stored: "Stored | list[Elements] | None", tag: int) -> tuple[float, ...]:
        if not isinstance(stored, Stored):
            return ()
        value = stored.value
        return (_short_numbers if len(value) <= MEMORISED_BYTES else _any_numbers)(value, stored.vr, tag, self.order)


def is_wanted(tag: int) -> bool:
    """Return whether a top-level element is kept."""
    if tag in wanted_tags():
        return True
    lows = PRIVATE_GROUPS.get(tag >> 16)
    return lows is not None and (0x10 <= tag & 0xFFFF <= 0xFF or tag & 0xFF in lows)


@cache
def tag_of(keyword: str) -> int:
    """Return the number of a standard element."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword} is not a DICOM keyword")
    return tag


@cache
def wanted_tags() -> frozenset[int]:
    """Return the numbers of the standard elements that are kept."""
    return frozenset(tag_of(keyword) for keyword in STANDARD.split())


@cache
def _vr(tag: int) -> str:
    try:
        return dictionary_VR(tag)[:2]
    except KeyError:
        return "UN"


def _is_by(owner: Stored, creator: str) -> bool:
    return owner.value.strip(b"\0 ").startswith(creator.encode("latin-1"))


def _text(stored: Stored | list[Elements] | None) -> str | None:
    if not isinstance(stored, Stored):
        return None
    value = stored.value
    return _short_text(value) if len(value) <= MEMORISED_BYTES else _any_text(value)


def _any_text(value: bytes) -> str | None:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return text.strip(" \0") or None


def _any_numbers(value: bytes, vr: bytes, tag: int, order: str) -> tuple[float, ...]:
    return _decode(value, vr.decode("latin-1") if vr not in (b"", b"UN") else _vr(tag), order)


def _decode(value: bytes, vr: str, order: str) -> tuple[float, ...]:
    code = NUMBER_CODES.get(vr) or BULK_CODES.get(vr)
    if code is not None:
        count = len(value) // calcsize(order + code)
        return tuple(map(float, unpack_from(f"{order}{count}{code}", value)))
    try:
        found = tuple(float(part) for part in value.decode("latin-1").strip(" \0").split("\\"))
    except ValueError:
        return ()
    return found if all(map(isfinite, found)) else ()


# The headers of a series say the same thousands of times.
_short_text = lru_cache(1 << 13)(_any_text)
_short_numbers = lru_cache(1 << 13)(_any_numbers)
