"""What is known about each case on disk: one small file per case, and from these the manifest.

A record is renamed into place after the results that it speaks of, so a case with a record of success is done, whoever
did it and whatever was interrupted since. Computers that share the folder do not write to one file.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_medseg.inference.cases.fingerprint import fingerprint, stamp
from napari_medseg.inference.cases.request import Case, PredictRequest
from napari_medseg.io.writing import replacing

FOLDER = ".cases"
MANIFEST, TABLE = "manifest.json", "manifest.csv"
COLUMNS = (
    "case", "status", "image", "series", "labels", "bundle", "bundle_hash", "fingerprint", "options", "seconds", "error"
)  # fmt: skip


class ResultFile(BaseModel):
    """A file that was written about a case."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    path: Path
    """Relative to the folder of the results."""
    sha256: str
    """Of its content, or of the contents of a folder."""


class CaseRecord(BaseModel):
    """What became of one case. Holds nothing from the patient's data set but the path that the user gave."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    case: str
    """Its name."""
    status: Literal["done", "failed"]
    error: str | None = None
    """Why it failed."""
    image: Path
    """What was read."""
    series: str | None = None
    """Opaque identifier of the series in it."""
    fingerprint: str = ""
    """SHA-256 of the content of the input's files."""
    stamp: str = ""
    """Hash of names, sizes and times of the input's files."""
    bundle: str
    """Name of the model."""
    bundle_hash: str
    """SHA-256 of its weights and specification."""
    options: dict[str, Any]
    """How it was asked to predict."""
    format: str
    device: str = ""
    """What it ran on."""
    outputs: dict[str, ResultFile] = {}
    """What was written, by ``labels``, ``probabilities``, ``uncertainty``."""
    volumes_ml: dict[str, float] | None = None
    """Volume per class; None for an image without geometry."""
    seconds: float = 0.0
    """Time of reading, predicting and writing."""
    version: str
    """Of napari-medseg."""


class Records:
    """The records of a folder of results.

    Parameters
    ----------
    folder : Path
        Of the results.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, case: str) -> CaseRecord | None:
        """Return the record of a case; None if there is none that can be read."""
        try:
            return CaseRecord.model_validate_json(self._place(case).read_bytes())
        except (OSError, ValidationError):
            # Absent, or of another version: the case is done again.
            return None

    def save(self, record: CaseRecord) -> None:
        """Put a record in place of the last one, as a whole."""
        with replacing(self._place(record.case)) as temporary:
            temporary.write_text(record.model_dump_json(indent=1), encoding="utf-8")

    def done(self, case: Case, request: PredictRequest) -> CaseRecord | None:
        """Return the record of a case that is done just as requested.

        The model, the options, the format and the input must be those of the record, and the results those that
        were written then. Where the times of the input's files changed, their content decides.
        """
        record = self.load(case.name)
        if record is None or record.status != "done" or not _as_requested(record, case, request):
            return None
        if any(_hash_of(self.folder / output.path) != output.sha256 for output in record.outputs.values()):
            return None
        try:
            same = record.stamp == stamp(case.path) or record.fingerprint == fingerprint(case.path)
        except OSError:
            return None
        return record if same else None

    def result_files(self, outputs: dict[str, Path]) -> dict[str, ResultFile]:
        """Return paths in the folder with the hashes of what is there."""
        return {
            what: ResultFile(path=path.relative_to(self.folder), sha256=_hash_of(path) or "")
            for what, path in outputs.items()
        }

    def reopen(self, case: str) -> None:
        """Make a case count as not done, without losing sight of its files."""
        if (record := self.load(case)) is not None:
            self.save(record.model_copy(update={"status": "failed", "error": "Interrupted before it was done again."}))

    def discard(self, case: str) -> None:
        """Remove the results of an earlier record that no longer belong to the case."""
        record = self.load(case)
        for output in record.outputs.values() if record else ():
            place = self.folder / output.path
            if place.is_file():
                place.unlink()

    def sweep(self, cases: Iterable[str]) -> None:
        """Remove what processes that were killed in the middle of writing left of these cases."""
        rests = [path for folder in (self.folder, self.folder / FOLDER) for path in folder.glob(".????????-*")]
        for rest in rests:
            name = rest.name[len(".????????-") :]
            if rest.is_file() and any(name.startswith((f"{case}.", f"{case}-")) for case in cases):
                rest.unlink(missing_ok=True)

    def write_manifest(self) -> list[CaseRecord]:
        """Gather all records of the folder in ``manifest.json`` and ``manifest.csv``, and return them by name."""
        names = sorted(path.stem for path in (self.folder / FOLDER).glob("*.json") if not path.name.startswith("."))
        records = [record for name in names if (record := self.load(name)) is not None]
        content = {"format": 1, "cases": [record.model_dump(mode="json") for record in records]}
        for name, text in ((MANIFEST, json.dumps(content, indent=1, ensure_ascii=False)), (TABLE, _table(records))):
            with replacing(self.folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
        return records

    def _place(self, case: str) -> Path:
        return self.folder / FOLDER / f"{case}.json"


def _as_requested(record: CaseRecord, case: Case, request: PredictRequest) -> bool:
    return (
        record.bundle_hash == request.bundle_hash
        and record.options == request.options.model_dump(mode="json")
        and record.format == request.format
        and record.series == case.series_id
    )


def _hash_of(path: Path) -> str | None:
    try:
        return fingerprint(path) if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _table(records: Iterable[CaseRecord]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for record in records:
        labels = record.outputs.get("labels")
        values = record.model_dump(mode="json") | {
            "labels": "" if labels is None else labels.path.as_posix(),
            "options": json.dumps(record.options, sort_keys=True),
            "seconds": f"{record.seconds:.2f}",
        }
        writer.writerow({key: _harmless(value) for key, value in values.items()})
    return text.getvalue()


def _harmless(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
