"""De-identifying whole folders: which files, where to, and an account of it without identifiers."""

import csv
import io
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

import pydicom
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.uid import UID

from napari_medseg.errors import ReadError, WriteError
from napari_medseg.io.deidentify import content
from napari_medseg.io.deidentify.dataset import Cleaner
from napari_medseg.io.deidentify.pseudonyms import Pseudonyms
from napari_medseg.io.deidentify.sources import files_in
from napari_medseg.io.dicom.files import is_dicom
from napari_medseg.io.dicom.parser import parse
from napari_medseg.progress import Control, Event, Finished, Progress

DIRECTORY = "1.2.840.10008.1.3.10"
LOG_NAME = "deidentification.csv"
MOSAIC_NOTE = "the layout of the slices in the mosaic is private, so it is removed: convert the original instead"
SINGLE_SUFFIXES = (".dcm", ".dicom", ".ima")

Status = Literal["written", "left out", "not DICOM", "failed"]


@dataclass(frozen=True)
class DeidentifyOptions:
    """What the user may choose."""

    key_file: Path | None = None
    """Secret by which the same identifiers always get the same pseudonyms; None for a new one that is forgotten."""
    leave_out_suspect: bool = False
    """Whether files whose pixels may show text are left out instead of written with a warning."""
    names: Path | None = None
    """Where to list which file became which. The list identifies patients; None for no list."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file. Holds nothing that identifies a patient."""

    number: int
    """Place in the order of the input, from 1."""
    status: Status
    output: str = ""
    """Path below the output folder."""
    modality: str = ""
    kind: str = ""
    """Name of the SOP class."""
    reason: str = ""
    """Why the file was not written."""
    pixel_warning: str = ""
    """Why the pixels may show text, or a face."""
    note: str = ""
    """What else the user should know."""
    changes: dict[str, int] = field(default_factory=dict)
    """Number of elements removed, emptied, replaced, and of UIDs mapped."""


@dataclass(frozen=True)
class Summary:
    """What became of all files."""

    outcomes: tuple[Outcome, ...]
    log: Path

    def count(self, status: Status) -> int:
        """Return the number of files that ended so."""
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def warned(self) -> tuple[Outcome, ...]:
        """Files that were written although their pixels may identify the patient."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == "written" and outcome.pixel_warning)


def deidentify(source: Path, target: Path, options: DeidentifyOptions, control: Control) -> Iterator[Event]:
    """Write copies of DICOM files that follow the basic profile of DICOM PS3.15, Annex E.

    Parameters
    ----------
    source : Path
        A file, a folder, or an archive; it is only read.
    target : Path
        A new or empty folder; for a single file also the name of a file that does not exist.
    options : DeidentifyOptions
        Choices.
    control : Control
        Stops the work between two files; what was written until then is whole.

    Yields
    ------
    Event
        `Progress`, and at the end `Finished` with a `Summary`.

    Raises
    ------
    ReadError
        If the source does not exist, or holds no DICOM file.
    WriteError
        If the target could hold or overwrite other files.
    """
    single = _check_paths(source, target)
    _check_private(options, target)
    pseudonyms = Pseudonyms() if options.key_file is None else Pseudonyms.from_file(options.key_file)
    total = 1 if source.is_file() else sum(entry.is_file() for entry in source.rglob("*"))
    folder = target.parent if single else target
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / (f"{target.stem}-{LOG_NAME}" if single else LOG_NAME)
    done: list[tuple[str, Outcome]] = []
    try:
        for number, (name, file) in enumerate(files_in(source), start=1):
            control.checkpoint()
            yield Progress("De-identifying", number - 1, max(total, number))
            outcome = _one_file(file, folder, target.name if single else None, (number, pseudonyms, options))
            done.append((name, outcome))
    finally:
        # Also of what was written until the work was stopped.
        _write_logs(done, log, options.names)
    outcomes = tuple(outcome for _, outcome in done)
    if all(outcome.status == "not DICOM" for outcome in outcomes):
        raise ReadError(f"{source.name} holds no DICOM file.", "Choose a file, folder or archive with DICOM files.")
    yield Finished(Summary(outcomes, log))


def _check_paths(source: Path, target: Path) -> bool:
    """Return whether the target is one file; refuse targets that mix with the source or with older files."""
    if not source.exists():
        raise ReadError(f"There is no file or folder {source}.", "Check the path.")
    inside, outside = target.resolve(), source.resolve()
    if inside == outside or inside.is_relative_to(outside) or (source.is_dir() and outside.is_relative_to(inside)):
        raise WriteError("The output would lie in the input, or hold it.", "Choose a folder elsewhere.")
    single = source.is_file() and target.suffix.lower() in SINGLE_SUFFIXES and not target.is_dir()
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise WriteError(f"{target.name} exists already and is not empty.", "Choose a new folder.")
    return single


def _check_private(options: DeidentifyOptions, target: Path) -> None:
    """Refuse to put what identifies patients beside what is passed on, or over another file."""
    for path in (options.key_file, options.names):
        if path is not None and path.resolve().is_relative_to(target.resolve()):
            raise WriteError(f"{path.name} would lie among the cleaned files.", "Keep it where you keep the originals.")
    if options.names is not None and options.names.exists():
        raise WriteError(f"{options.names.name} exists already.", "Choose a new name for the list.")


def _one_file(
    file: Path | None, folder: Path, name: str | None, work: tuple[int, Pseudonyms, DeidentifyOptions]
) -> Outcome:
    """Clean one file and write it below the folder."""
    number, pseudonyms, options = work
    if file is None:
        return Outcome(number, "failed", reason="the archive is damaged, locked, or larger than it may be")
    if not is_dicom(file):
        return Outcome(number, "not DICOM")
    try:
        # What pydicom warns of quotes the values of the file.
        with disable_value_validation(), warnings.catch_warnings(action="ignore"):
            return _cleaned(file, folder, name, (number, pseudonyms, options))
    except OSError as error:
        if error.filename is not None and Path(error.filename).is_relative_to(folder):
            raise WriteError(f"{folder.name}: {error.strerror}.", "Check the space and the rights there.") from error
        return Outcome(number, "failed", reason="the file cannot be read")
    except Exception as error:  # noqa: BLE001 - whatever a parser makes of a damaged file; its text may quote the file
        return Outcome(number, "failed", reason=f"the file is damaged ({type(error).__name__})")


def _cleaned(file: Path, folder: Path, name: str | None, work: tuple[int, Pseudonyms, DeidentifyOptions]) -> Outcome:
    number, pseudonyms, options = work
    if _is_cut(file):
        return Outcome(number, "failed", reason="the file is shorter than its header says")
    dataset = pydicom.dcmread(file, force=True)
    modality, kind = _code(dataset.get("Modality")), _kind(dataset)
    refusal = _refusal(dataset, options)
    if refusal:
        return Outcome(number, "left out", "", modality, kind, refusal)
    warning = content.pixel_warning(dataset) or content.face_warning(dataset) or ""
    cleaner = Cleaner(pseudonyms)
    if content.has_hidden_overlay(dataset) and content.erase_unused_bits(dataset):
        cleaner.counts["overlays erased from pixels"] += 1
    cleaner.clean(dataset)
    dataset.file_meta = cleaner.clean_meta(dataset)
    dataset.preamble = b"\0" * 128
    study, series, instance = (
        pseudonyms.short(str(dataset.get(keyword) or ""))
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    )
    target = _free(folder / name) if name else _free(folder / study / series / f"{instance}.dcm")
    _write_dataset(dataset, target)
    output = target.relative_to(folder).as_posix()
    note = MOSAIC_NOTE if content.is_mosaic(dataset) else ""
    return Outcome(number, "written", output, modality, kind, "", warning, note, dict(cleaner.counts))


def _is_cut(file: Path) -> bool:
    found = parse(file)
    pixels = None if found is None else found.pixels
    if found is None or pixels is None or pixels.length is None or pixels.inflated is not None:
        return False
    return pixels.offset + pixels.length > found.size


def _refusal(dataset: Dataset, options: DeidentifyOptions) -> str:
    """Return why a file is not written at all; empty if it is."""
    if "DirectoryRecordSequence" in dataset or dataset.get("SOPClassUID") == DIRECTORY:
        return "a directory of files that have other names now"
    if not dataset.get("SOPClassUID") or not dataset.get("SOPInstanceUID"):
        return "the file does not say what it is: its class or its UID is missing"
    document = content.document_in(dataset)
    if document:
        return f"{document}: text that the profile cannot clean"
    suspect = content.pixel_warning(dataset)
    return suspect if suspect and options.leave_out_suspect else ""


def _kind(dataset: Dataset) -> str:
    uid = UID(str(dataset.get("SOPClassUID") or ""))
    return uid.name if uid.name != uid else "private or unknown"


def _code(value: object) -> str:
    """Return a modality if it looks like one: a free text in its place may be a name."""
    text = str(value or "").strip()
    return text if text.isalnum() and text.isupper() and len(text) <= 16 else ""


def _free(path: Path) -> Path:
    """Return the path, or one beside it if two files have the same identifier."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_stem(f"{path.stem}-{number}")
    return found


def _write_dataset(dataset: Dataset, target: Path) -> None:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    _write_whole(target, buffer.getbuffer())


def _write_whole(target: Path, data: bytes | memoryview) -> None:
    """Write a file under a temporary name and rename it, so that no half of it is ever seen."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        part.write_bytes(data)
        os.replace(part, target)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _write_logs(done: list[tuple[str, Outcome]], log: Path, names: Path | None) -> None:
    header = tuple(field.name for field in fields(Outcome))
    rows = [
        (*(str(getattr(outcome, name)) for name in header[:-1]), json.dumps(outcome.changes, sort_keys=True))
        for _, outcome in done
    ]
    _write_whole(log, _table([header, *rows]))
    if names is not None:
        which = [(name, outcome.status, outcome.output) for name, outcome in done]
        _write_whole(names, _table([("input", "status", "output"), *which]))


def _table(rows: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
