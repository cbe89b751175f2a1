"""De-identifying files and folders: nothing planted is left, references hold, images stay as they are."""

import csv
import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.uid import ImplicitVRLittleEndian, RLELossless

from napari_medseg import read
from napari_medseg.errors import Cancelled, ConfigError, ReadError, WriteError
from napari_medseg.io.deidentify import DeidentifyOptions, Pseudonyms, Summary, deidentify
from napari_medseg.progress import Control, Finished, Progress

SECRETS = (
    b"Planted", b"PLANTED", b"planted", b"SECRET-77", b"Doe", b"Jane", b"1.2.3.4", b"19700131", b"Mercy",
)  # fmt: skip


def run(source: Path, target: Path, control: Control | None = None, **options: Any) -> Summary:
    *events, last = deidentify(source, target, DeidentifyOptions(**options), control or Control())
    assert all(isinstance(event, Progress) for event in events)
    assert isinstance(last, Finished)
    assert isinstance(last.result, Summary)
    return last.result


def outputs(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.dcm"))


def item(**elements: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def plant(ds: Dataset) -> None:
    """Put identifiers wherever a header has room for them."""
    ds.PatientBirthDate, ds.InstitutionName = "19700131", "Mercy Hospital"
    ds.SeriesDescription, ds.StudyDescription = "Planted for Doe", "Planted"
    ds.ImageComments, ds.PatientComments = "Planted", "Planted"
    ds.ReferringPhysicianName = ds.OperatorsName = "Planted^Doctor"
    ds.OtherPatientIDsSequence = Sequence([item(PatientID="SECRET-77")])
    # not in the table: free text that repeats what is
    ds.DerivationDescription = "made for Jane Doe"
    ds.SoftwareVersions = ["1.0", "of Mercy Hospital"]
    nested = item(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2", ReferencedSOPInstanceUID="1.2.3.4.5")
    nested.PersonName = "Planted^Nested"
    ds.SourceImageSequence = Sequence([nested])
    deep = item(PatientName="Planted^Deep", CodeMeaning="T", SeriesInstanceUID="1.2.3.4")
    deep.add_new(0x00130010, "LO", "PLANTED CREATOR")
    deep.add_new(0x00131001, "LO", "Planted")
    ds.AnatomicRegionSequence = Sequence([deep])
    block = ds.private_block(0x0009, "PLANTED MAKER", create=True)
    block.add_new(1, "LO", "Planted")
    block.add_new(2, "SQ", [item(PatientName="Planted")])
    block.add_new(3, "UN", b"Planted")
    ds.add_new(0x60000010, "US", 8)
    ds.add_new(0x60000022, "LO", "Planted")
    ds.add_new(0x60003000, "OB", b"Planted!")
    ds.add_new(0x50000030, "SH", "Planted")
    ds.add_new(0xFFFCFFFC, "OB", b"Planted!")
    ds.add_new(0x00087FF1, "UN", b"Planted!")
    ds.preamble = b"Planted!" * 16
    ds.file_meta.SourceApplicationEntityTitle = "PLANTED"
    ds.file_meta.PrivateInformationCreatorUID = "1.2.3.4"
    ds.file_meta.PrivateInformation = b"Planted!"


@pytest.fixture
def planted_series(
    tmp_path: Path, phantoms: SimpleNamespace, write_series: Callable[..., Path], phantom: np.ndarray
) -> Path:
    folder = write_series(phantom, phantoms.lps_affine((3, 1, 2), 20), "in/Doe_Jane", FrameOfReferenceUID="1.2.3.4.6")
    for path in list(folder.iterdir()):
        ds = pydicom.dcmread(path)
        plant(ds)
        ds.save_as(path)
    return tmp_path / "in"


def test_nothing_planted_is_left_in_any_byte_or_name(planted_series: Path, tmp_path: Path) -> None:
    (planted_series / "Doe_Jane" / "SECRET-77.txt").write_text("Planted")
    summary = run(planted_series, tmp_path / "out")
    everything = list((tmp_path / "out").rglob("*"))
    assert len(outputs(tmp_path / "out")) == 6
    for path in everything:
        content = path.read_bytes() if path.is_file() else b""
        for secret in SECRETS:
            assert secret not in content, path
            assert secret.decode() not in str(path.relative_to(tmp_path / "out"))
    assert summary.count("written") == 6
    assert summary.count("not DICOM") == 1


def test_what_is_left_says_what_was_done(planted_series: Path, tmp_path: Path) -> None:
    run(planted_series, tmp_path / "out")
    ds = pydicom.dcmread(outputs(tmp_path / "out")[0])
    assert ds.PatientIdentityRemoved == "YES"
    assert ds.LongitudinalTemporalInformationModified == "REMOVED"
    assert ds.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert ds.preamble == b"\0" * 128
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert {element.keyword for element in ds.file_meta} == {
        "FileMetaInformationGroupLength", "FileMetaInformationVersion", "MediaStorageSOPClassUID",
        "MediaStorageSOPInstanceUID", "TransferSyntaxUID", "ImplementationClassUID", "ImplementationVersionName",
    }  # fmt: skip


def test_voxels_and_geometry_are_the_same(planted_series: Path, tmp_path: Path) -> None:
    run(planted_series, tmp_path / "out")
    before, after = read(planted_series)[0], read(tmp_path / "out")[0]
    np.testing.assert_array_equal(after.data, before.data)
    assert after.geometry is not None
    assert before.geometry is not None
    np.testing.assert_allclose(after.geometry.affine, before.geometry.affine, atol=1e-9)


def test_references_between_files_still_hold(planted_series: Path, tmp_path: Path, phantom: np.ndarray) -> None:
    slices = [pydicom.dcmread(path) for path in planted_series.rglob("*") if path.is_file()]
    for ds in slices:
        del ds[0x5000:0x6100]
        ds.SliceThickness = 3
        ds.AccessionNumber, ds.StudyID, ds.PatientSex = "A1", "1", "F"
        ds.StudyDate, ds.StudyTime = "20240229", "101112"
    slices.sort(key=lambda ds: ds.InstanceNumber)
    description = highdicom.seg.SegmentDescription(
        1, "liver", codes.SCT.Organ, codes.SCT.Liver, highdicom.seg.SegmentAlgorithmTypeValues.MANUAL
    )
    seg = highdicom.seg.Segmentation(
        slices, (phantom > 100).astype(np.uint8), "BINARY", [description], "1.2.3.4.7", 9, "1.2.3.4.8", 1,
        "Maker", "Model", "1", "serial Planted",
    )  # fmt: skip
    seg.save_as(planted_series / "seg.dcm")
    truth = read(planted_series)[1]
    run(planted_series, tmp_path / "out")
    found = [pydicom.dcmread(path) for path in outputs(tmp_path / "out")]
    images = {ds.SOPInstanceUID for ds in found if ds.Modality == "CT"}
    (result,) = (ds for ds in found if ds.Modality == "SEG")
    (series,) = result.ReferencedSeriesSequence
    assert {ref.ReferencedSOPInstanceUID for ref in series.ReferencedInstanceSequence} == images
    assert {series.SeriesInstanceUID} == {ds.SeriesInstanceUID for ds in found if ds.Modality == "CT"}
    assert len({ds.FrameOfReferenceUID for ds in found}) == 1
    assert len({ds.StudyInstanceUID for ds in found}) == 1
    sources = {
        source.ReferencedSOPInstanceUID
        for frame in result.PerFrameFunctionalGroupsSequence
        for derivation in frame.DerivationImageSequence
        for source in derivation.SourceImageSequence
    }
    assert sources
    assert sources <= images
    labels = read(tmp_path / "out")[1]
    np.testing.assert_array_equal(labels.data, truth.data)
    assert [label.name for label in labels.classes] == ["liver"]


def test_the_same_key_gives_the_same_pseudonyms_in_another_run(planted_series: Path, tmp_path: Path) -> None:
    key = tmp_path / "key.txt"
    for name, options in (("a", {"key_file": key}), ("b", {"key_file": key}), ("c", {})):
        run(planted_series, tmp_path / name, **options)
    names = [[path.relative_to(tmp_path / run) for path in outputs(tmp_path / run)] for run in "abc"]
    assert names[0] == names[1]
    assert not set(names[0]) & set(names[2])
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names[0])
    assert len(bytes.fromhex(key.read_text())) == 32
    assert key.stat().st_mode & 0o077 == 0


def test_a_file_that_is_no_key_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("my notes")
    with pytest.raises(ConfigError, match="holds no key"):
        Pseudonyms.from_file(tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "my notes"


def test_uids_are_valid_distinct_and_below_the_root_for_uuids() -> None:
    pseudonyms = Pseudonyms(b"k" * 32)
    found = {pseudonyms.uid(f"1.2.3.{number}") for number in range(200)}
    assert len(found) == 200
    assert all(pydicom.uid.UID(uid).is_valid and uid.startswith("2.25.") and len(uid) <= 64 for uid in found)


def test_the_account_has_a_line_per_file_and_no_identifier(planted_series: Path, tmp_path: Path) -> None:
    summary = run(planted_series, tmp_path / "out", names=tmp_path / "names.csv")
    rows = list(csv.DictReader(io.StringIO(summary.log.read_text())))
    assert [row["status"] for row in rows] == ["written"] * 6
    assert all((tmp_path / "out" / row["output"]).is_file() for row in rows)
    assert {row["kind"] for row in rows} == {"CT Image Storage"}
    assert '"private removed"' in rows[0]["changes"]
    listed = list(csv.DictReader(io.StringIO((tmp_path / "names.csv").read_text())))
    assert {row["input"].split("/")[0] for row in listed} == {"Doe_Jane"}
    assert [row["output"] for row in listed] == [row["output"] for row in rows]


def test_archives_and_archives_in_folders_are_opened(planted_series: Path, tmp_path: Path) -> None:
    inner = shutil.make_archive(str(tmp_path / "inner"), "zip", planted_series)
    (tmp_path / "nested").mkdir()
    with zipfile.ZipFile(tmp_path / "nested" / "Doe.zip", "w") as archive:
        archive.write(inner, "../../Jane.zip")
        archive.writestr("notes.txt", "Planted")
    (tmp_path / "nested" / "broken.zip").write_bytes(b"PK\5\6" + b"\xff" * 30)
    summary = run(tmp_path / "nested", tmp_path / "out")
    assert summary.count("written") == 6
    assert len(outputs(tmp_path / "out")) == 6
    assert {outcome.status for outcome in summary.outcomes} >= {"written", "not DICOM"}


@pytest.mark.parametrize("syntax", [RLELossless, ImplicitVRLittleEndian])
def test_one_file_to_one_file_in_its_own_transfer_syntax(
    tmp_path: Path, phantoms: SimpleNamespace, phantom: np.ndarray, syntax: str
) -> None:
    ds = phantoms.slice_dataset(phantom[0])
    if syntax == RLELossless:
        ds.compress(RLELossless, generate_instance_uid=False)
    else:
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    source = phantoms.save(ds, tmp_path / "in.dcm")
    run(source, tmp_path / "clean.dcm")
    after = pydicom.dcmread(tmp_path / "clean.dcm")
    assert after.file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(after.pixel_array, phantom[0])
    assert (tmp_path / "clean-deidentification.csv").is_file()


def test_a_file_without_meta_information_is_cleaned_too(
    tmp_path: Path, phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    ds = phantoms.slice_dataset(phantom[0])
    del ds.file_meta
    ds.save_as(tmp_path / "bare", implicit_vr=True, little_endian=True)
    run(tmp_path / "bare", tmp_path / "out")
    np.testing.assert_array_equal(read(outputs(tmp_path / "out")[0])[0].data, phantom[0])


class TestPixels:
    def warning(self, tmp_path: Path, phantoms: SimpleNamespace, **elements: Any) -> str:
        picture = elements.pop("picture", np.zeros((4, 4), np.uint8))
        phantoms.save(phantoms.slice_dataset(picture, **elements), tmp_path / "in" / "a.dcm")
        return run(tmp_path / "in", tmp_path / "out").outcomes[0].pixel_warning

    @pytest.mark.parametrize(
        "elements",
        [
            {"BurnedInAnnotation": "YES"},
            {"Modality": "US"},
            {"Modality": "XA"},
            {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
            {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]},
            {"picture": np.zeros((4, 4, 3), np.uint8)},
        ],
    )
    def test_pictures_that_may_show_text_are_warned_of(
        self, tmp_path: Path, phantoms: SimpleNamespace, elements: dict[str, Any]
    ) -> None:
        assert "text" in self.warning(tmp_path, phantoms, **elements)

    @pytest.mark.parametrize("elements", [{}, {"Modality": "US", "BurnedInAnnotation": "NO"}])
    def test_others_are_not(self, tmp_path: Path, phantoms: SimpleNamespace, elements: dict[str, Any]) -> None:
        assert self.warning(tmp_path, phantoms, **elements) == ""

    def test_a_head_may_show_a_face(self, tmp_path: Path, phantoms: SimpleNamespace) -> None:
        assert "face" in self.warning(tmp_path, phantoms, BodyPartExamined="HEAD")

    def test_suspect_files_can_be_left_out(self, tmp_path: Path, phantoms: SimpleNamespace) -> None:
        phantoms.save(phantoms.slice_dataset(np.zeros((4, 4), np.uint8), Modality="US"), tmp_path / "in" / "a.dcm")
        summary = run(tmp_path / "in", tmp_path / "out", leave_out_suspect=True)
        assert summary.count("left out") == 1
        assert not outputs(tmp_path / "out")

    def test_an_overlay_in_unused_bits_is_erased_and_the_image_stays(
        self, tmp_path: Path, phantoms: SimpleNamespace
    ) -> None:
        picture = np.arange(16, dtype=np.uint16).reshape(4, 4)
        ds = phantoms.slice_dataset(picture | 0x8000, BitsStored=12, HighBit=11)
        ds.add_new(0x60000102, "US", 15)
        phantoms.save(ds, tmp_path / "in" / "a.dcm")
        run(tmp_path / "in", tmp_path / "out")
        after = pydicom.dcmread(outputs(tmp_path / "out")[0])
        np.testing.assert_array_equal(np.frombuffer(after.PixelData, np.uint16).reshape(4, 4), picture)


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [
        ("EncapsulatedDocument", b"%PDF Planted", "document"),
        ("ContentSequence", Sequence([item(TextValue="Planted")]), "report"),
        ("GraphicAnnotationSequence", Sequence([item(ContentLabel="PLANTED")]), "annotations"),
        ("DirectoryRecordSequence", Sequence([item(PatientName="Planted")]), "directory"),
    ],
)
def test_documents_are_left_out_with_a_reason(
    tmp_path: Path, phantoms: SimpleNamespace, keyword: str, value: object, words: str
) -> None:
    phantoms.save(phantoms.slice_dataset(np.zeros((4, 4), np.uint8)), tmp_path / "in" / "image.dcm")
    phantoms.save(phantoms.slice_dataset(np.zeros((4, 4), np.uint8), **{keyword: value}), tmp_path / "in" / "x.dcm")
    summary = run(tmp_path / "in", tmp_path / "out")
    (left,) = (outcome for outcome in summary.outcomes if outcome.status == "left out")
    assert words in left.reason
    assert len(outputs(tmp_path / "out")) == 1


def test_a_cut_file_is_reported_and_not_written(tmp_path: Path, phantoms: SimpleNamespace, phantom: np.ndarray) -> None:
    path = phantoms.save(phantoms.slice_dataset(phantom[0]), tmp_path / "in" / "a.dcm")
    path.write_bytes(path.read_bytes()[:-20])
    summary = run(tmp_path / "in", tmp_path / "out")
    assert [outcome.status for outcome in summary.outcomes] == ["failed"]
    assert not outputs(tmp_path / "out")


class TestPaths:
    @pytest.mark.parametrize("target", ["in", "in/out", "."])
    def test_input_and_output_may_not_overlap(self, planted_series: Path, tmp_path: Path, target: str) -> None:
        before = {path: path.stat().st_mtime_ns for path in planted_series.rglob("*")}
        with pytest.raises(WriteError, match="in the input"):
            run(planted_series, tmp_path / target)
        assert {path: path.stat().st_mtime_ns for path in planted_series.rglob("*")} == before

    def test_a_folder_with_files_is_not_written_to(self, planted_series: Path, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine").touch()
        with pytest.raises(WriteError, match="not empty"):
            run(planted_series, tmp_path / "out")

    @pytest.mark.parametrize("option", ["key_file", "names"])
    def test_what_identifies_patients_is_kept_apart(self, planted_series: Path, tmp_path: Path, option: str) -> None:
        with pytest.raises(WriteError, match="among the cleaned files"):
            run(planted_series, tmp_path / "out", **{option: tmp_path / "out" / "private"})

    def test_an_older_list_of_names_is_not_lost(self, planted_series: Path, tmp_path: Path) -> None:
        (tmp_path / "names.csv").write_text("mine")
        with pytest.raises(WriteError, match=r"names\.csv exists"):
            run(planted_series, tmp_path / "out", names=tmp_path / "names.csv")
        assert (tmp_path / "names.csv").read_text() == "mine"

    def test_a_folder_without_dicom_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.txt").write_text("text")
        with pytest.raises(ReadError, match="no DICOM"):
            run(tmp_path / "in", tmp_path / "out")

    def test_cancelling_leaves_whole_files_and_their_account(self, planted_series: Path, tmp_path: Path) -> None:
        control = Control()
        events = deidentify(planted_series, tmp_path / "out", DeidentifyOptions(), control)
        for _ in range(3):
            next(events)
        control.cancel()
        with pytest.raises(Cancelled):
            next(events)
        found = outputs(tmp_path / "out")
        assert len(found) == 2 or len(found) == 3
        assert all(pydicom.dcmread(path).PatientIdentityRemoved == "YES" for path in found)
        assert not list((tmp_path / "out").rglob(".*"))
        assert len((tmp_path / "out" / "deidentification.csv").read_text().splitlines()) == len(found) + 1
