"""Which images are of one patient, so that no patient is trained on and validated on."""

import csv
import re
from collections.abc import Iterable
from pathlib import Path

from napari_medseg.errors import DataError
from napari_medseg.io.format import stem

BIDS = re.compile(r"(?:^|_)(sub-[A-Za-z0-9]+)(?:_|$)")
"""What names of files begin with that follow the Brain Imaging Data Structure."""


def patients(names: Iterable[str], table: Path | None) -> dict[str, str]:
    """Return the patient of each case; empty for a patient of its own.

    Parameters
    ----------
    names : iterable of str
        Of the cases.
    table : Path or None
        CSV with columns ``image`` and ``patient``; None takes the subject out of names like ``sub-07_ses-2_T1w``.

    Raises
    ------
    DataError
        If the table cannot be read, or does not say it of each case.

    Examples
    --------
    >>> patients(["sub-07_ses-1_T1w", "sub-07_ses-2_T1w", "knee"], None)
    {'sub-07_ses-1_T1w': 'sub-07', 'sub-07_ses-2_T1w': 'sub-07', 'knee': ''}
    """
    if table is None:
        return {name: found[1] if (found := BIDS.search(name)) else "" for name in names}
    known = _read(table)
    missing = [name for name in names if name not in known]
    if missing:
        raise DataError(
            f"{table.name} does not say whose image {missing[0]} is, nor {len(missing) - 1} others.",
            "Add a line for each image.",
        )
    return {name: known[name] for name in names}


def _read(table: Path) -> dict[str, str]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} cannot be read: {error}.", "Give a CSV file in UTF-8.") from error
    if not rows or not {"image", "patient"} <= rows[0].keys():
        raise DataError(f"{table.name} has no columns image and patient.", "Name them in its first line.")
    return {stem(Path(row["image"])): row["patient"] or "" for row in rows}
