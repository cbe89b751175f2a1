"""Cleaning one data set, in place: the table, private elements, and what a table cannot know."""

from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version

from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.uid import UID

from napari_medseg.io.deidentify.pseudonyms import Pseudonyms
from napari_medseg.io.deidentify.table import EDITION, Action, action_of

TEXT_VRS = frozenset(("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"))
"""Kinds of value that people type."""
DUMMIES: dict[str, str | bytes | int] = {
    "AS": "000Y", "DA": "19000101", "DT": "19000101000000", "TM": "000000", "DS": "0", "IS": "0",
    "UR": "http://anonymized.invalid", "AT": 0, "FD": 0, "FL": 0, "SL": 0, "SS": 0, "SV": 0, "UL": 0, "US": 0, "UV": 0,
    "OB": b"\0\0", "OD": b"\0" * 8, "OF": b"\0" * 4, "OL": b"\0" * 4, "OV": b"\0" * 8, "OW": b"\0\0", "UN": b"\0\0",
}  # fmt: skip
DUMMY_TEXT = "ANONYMIZED"
CLASS_UIDS = ("ClassUID", "ClassesInStudy", "ClassesSupported", "TransferSyntaxUID", "CodingSchemeUID")
"""Ends of keywords whose UID says what something is, not which one; makers have such UIDs of their own."""
IDENTIFYING = (
    "PatientName", "PatientID", "OtherPatientIDs", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName",
    "PatientAddress", "PatientTelephoneNumbers", "AccessionNumber", "ReferringPhysicianName", "PerformingPhysicianName",
    "OperatorsName", "NameOfPhysiciansReadingStudy", "RequestingPhysician", "InstitutionName", "InstitutionAddress",
)  # fmt: skip
"""Elements whose values must not be left in any other text either."""
SHORTEST_WORD = 4
"""Characters; shorter parts of a name occur in other words."""
METHOD = "113100", "Basic Application Confidentiality Profile"
"""Code of the profile in the standard's own terminology."""
DEEPEST = 24


@dataclass
class Cleaner:
    """What is done to one file."""

    pseudonyms: Pseudonyms
    counts: Counter[str] = field(default_factory=Counter)
    """Elements removed, emptied, replaced by a dummy, and UIDs mapped."""

    def clean(self, dataset: Dataset) -> None:
        """Apply the profile to a data set."""
        words = identifying_words(dataset)
        patient = self.pseudonyms.patient(patient_key(dataset))
        self._clean_level(dataset, words, 0)
        dataset.PatientName = dataset.PatientID = patient
        dataset.PatientIdentityRemoved = "YES"
        dataset.LongitudinalTemporalInformationModified = "REMOVED"
        dataset.DeidentificationMethod = f"napari-medseg {_release()}: PS3.15 {EDITION} Basic Profile"
        dataset.DeidentificationMethodCodeSequence = Sequence([_coded_method()])

    def clean_meta(self, dataset: Dataset) -> FileMetaDataset:
        """Return file meta information that says what the file is, and no more."""
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        old = getattr(dataset, "file_meta", None)
        syntax = None if old is None else old.get("TransferSyntaxUID")
        implicit, little = dataset.original_encoding
        guessed = "1.2.840.10008.1.2" if implicit else f"1.2.840.10008.1.2.{1 if little else 2}"
        meta.TransferSyntaxUID = UID(str(syntax or guessed))
        return meta

    def _clean_level(self, dataset: Dataset, words: frozenset[str], depth: int) -> None:
        for tag in list(dataset.keys()):
            action = action_of(int(tag))
            if action is Action.REMOVE or depth > DEEPEST:
                del dataset[tag]
                self.counts["private removed" if tag.is_private else "removed"] += 1
                continue
            element = dataset[tag]
            if action in (None, Action.KEEP_REFERENCES):
                self._keep(dataset, element, words, depth)
            elif action is Action.MAP_UID:
                self._map(element)
            elif action is Action.EMPTY:
                _make_empty(element)
                self.counts["emptied"] += 1
            else:
                self._replace(element)
                self.counts["replaced"] += 1

    def _keep(self, dataset: Dataset, element: DataElement, words: frozenset[str], depth: int) -> None:
        """Leave an element that the table does not name, unless what it is or holds may identify somebody."""
        if element.VR == "SQ":
            for item in element.value:
                self._clean_level(item, words, depth + 1)
        elif element.VR == "UI":
            if not keyword_for_tag(element.tag).endswith(CLASS_UIDS):
                self._map(element)
        elif element.VR == "UN" or not _is_standard(element):
            del dataset[element.tag]
            self.counts["unknown removed"] += 1
        elif element.VR == "PN" or (element.VR in TEXT_VRS and _mentions(element, words)):
            _make_empty(element)
            self.counts["free text emptied"] += 1

    def _map(self, element: DataElement) -> None:
        value = element.value
        if isinstance(value, MultiValue):
            element.value = [self.pseudonyms.uid(str(uid)) for uid in value]
        elif value:
            element.value = self.pseudonyms.uid(str(value))
        self.counts["UIDs mapped"] += 1

    def _replace(self, element: DataElement) -> None:
        """Put a value in place that is valid and means nothing."""
        if element.VR == "SQ":
            for item in element.value:
                for inner in list(item):
                    self._replace(inner)
        elif element.VR == "UI":
            self._map(element)
        else:
            element.value = DUMMIES.get(element.VR, DUMMY_TEXT)


def identifying_words(dataset: Dataset) -> frozenset[str]:
    """Return the parts of names and identifiers of a data set, in lower case."""
    found: set[str] = set()
    for keyword in IDENTIFYING:
        value = dataset.get(keyword)
        values = value if isinstance(value, MultiValue) else [value]
        for text in (str(part).casefold() for part in values if part):
            parts = [text, *text.replace("^", " ").replace("=", " ").replace(",", " ").split()]
            found.update(part for part in parts if len(part) >= SHORTEST_WORD)
    return frozenset(found)


def patient_key(dataset: Dataset) -> str:
    """Return what tells patients apart: the identifier and who gave it, else name and date of birth."""
    identifier = str(dataset.get("PatientID") or "").strip()
    if identifier:
        return f"{dataset.get('IssuerOfPatientID') or ''}\0{identifier}"
    unnamed = f"{dataset.get('PatientName') or ''}\0{dataset.get('PatientBirthDate') or ''}"
    return unnamed if unnamed != "\0" else str(dataset.get("StudyInstanceUID") or "")


def _mentions(element: DataElement, words: frozenset[str]) -> bool:
    values = element.value if isinstance(element.value, MultiValue) else [element.value]
    text = " ".join(str(value) for value in values).casefold()
    return any(word in text for word in words)


def _make_empty(element: DataElement) -> None:
    element.value = Sequence([]) if element.VR == "SQ" else None


def _is_standard(element: DataElement) -> bool:
    try:
        dictionary_VR(element.tag)
    except KeyError:
        return False
    return True


def _release() -> str:
    return version("napari-medseg").split("+")[0]


def _coded_method() -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodeMeaning = METHOD
    code.CodingSchemeDesignator = "DCM"
    return code
