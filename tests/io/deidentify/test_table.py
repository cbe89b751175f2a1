"""Every element of the profile's table, planted in one file, with what must become of it."""

from collections.abc import Iterator

import pytest
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from napari_medseg.io.deidentify.dataset import Cleaner
from napari_medseg.io.deidentify.pseudonyms import Pseudonyms
from napari_medseg.io.deidentify.table import Action, action_of, profile

SAMPLES = {
    "DA": "20240229", "DT": "20240229123456", "TM": "123456", "AS": "042Y", "DS": "42.5", "IS": "42", "UI": "1.2.3.99",
    "UR": "http://planted.example", "US": 4242, "OB": b"PLANTED!", "UN": b"PLANTED!", "UL": 4242, "FD": 42.5,
}  # fmt: skip
REMOVED = ("SeriesDescription", "PatientAddress", "PatientWeight", "OtherPatientIDsSequence", "ImageComments")
EMPTIED = ("AccessionNumber", "PatientBirthDate", "ReferringPhysicianName", "StudyDate", "AcquisitionTime")
DUMMIES = ("ContentDate", "InstitutionName", "AcquisitionDateTime", "StationName", "ProtocolName")
MAPPED = (
    "FrameOfReferenceUID",
    "ReferencedSOPInstanceUID",
    "IrradiationEventUID",
    "SynchronizationFrameOfReferenceUID",
)


def planted(tag: int) -> Dataset:
    """Return a data set with one element of the table, with a value that may not survive."""
    ds = Dataset()
    vr = dictionary_VR(tag).split(" ")[0]
    value: object = SAMPLES.get(vr, "PLANTED")
    if vr == "SQ":
        item = Dataset()
        if profile()[tag] is Action.KEEP_REFERENCES:
            item.PatientComments = item.PatientName = "PLANTED"
        else:
            item.CodeValue, item.CodeMeaning = "PLANTED", "PLANTED"
        item.ReferencedSOPInstanceUID = "1.2.3.99"
        value = Sequence([item])
    ds.add_new(tag, vr, value)
    return ds


def single_tags() -> Iterator[int]:
    for tag in profile():
        try:
            dictionary_VR(tag)
        except KeyError:
            continue
        yield tag


def test_the_table_is_whole_and_known_elements_have_their_action() -> None:
    assert len(profile()) > 640
    for keywords, action in (
        (REMOVED, Action.REMOVE),
        (EMPTIED, Action.EMPTY),
        (DUMMIES, Action.DUMMY),
        (MAPPED, Action.MAP_UID),
    ):
        assert {action_of(tag_for_keyword(keyword) or 0) for keyword in keywords} == {action}


@pytest.mark.parametrize("tag", [0x50000020, 0x501E3000, 0x60003000, 0x60004000, 0x60020010, 0x00091001, 0x00080000])
def test_curves_overlays_private_elements_and_group_lengths_go(tag: int) -> None:
    assert action_of(tag) is Action.REMOVE


@pytest.mark.parametrize("tag", list(single_tags()), ids=lambda tag: keyword_for_tag(tag))
def test_every_element_of_the_table_gets_its_action(tag: int) -> None:
    ds, action = planted(tag), action_of(tag)
    Cleaner(Pseudonyms(b"key" * 11)).clean(ds)
    kept = ds.get(tag)
    if keyword_for_tag(tag) in ("PatientName", "PatientID"):
        assert str(kept.value).startswith("ANON-")
    elif action is Action.REMOVE:
        assert kept is None
    elif action is Action.EMPTY:
        assert kept is not None
        assert kept.is_empty
    else:
        assert not kept.is_empty
    assert "PLANTED" not in str(ds).upper()
    assert "1.2.3.99" not in str(ds)
    assert "2024022" not in str(ds)
    assert "42" not in str(kept.value if kept is not None and action is Action.DUMMY else "")
