"""Which images a list of paths means."""

import csv
import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from napari_medseg.errors import DataError, ReadError
from napari_medseg.inference.cases.request import Case
from napari_medseg.io import SeriesInfo, formats, scan
from napari_medseg.io.folders import MAPPED, images_in
from napari_medseg.io.format import stem
from napari_medseg.progress import Control

FIRST_FILES = 20
"""How many files of a folder are looked at to know whether it holds DICOM."""

FORBIDDEN = '<>:"/\\|?*'
"""What a file name cannot hold on some system."""


def find_cases(paths: Sequence[Path], control: Control | None = None) -> tuple[list[Case], list[str]]:
    """Return the images to predict on, and a sentence for each path that holds none.

    Parameters
    ----------
    paths : sequence of Path
        Image files; folders of image files; folders with DICOM files at any depth, where each series of images is one
        case; patterns such as ``scans/**/*.nii.gz``; and lists: a ``.csv`` file with a column ``image`` (and, if
        wanted, ``name`` and ``series``), or a ``.txt`` file with one path per line. Paths in a list are relative to
        the list.
    control : Control, optional
        Cancels between two files.

    Returns
    -------
    cases : list of Case
        Each image once, in order. A file's case is named by its stem, a series by its folder, and by its identifier
        where the folder holds several; where two would have the same name, the folders above come before it.
    problems : list of str
        Why a path could not be used.

    Raises
    ------
    DataError
        If a list is not one, or gives one name to two images.
    """
    found: dict[tuple[Path, str | None], Case] = {}
    problems: list[str] = []
    given: dict[str, Case] = {}
    for entry, name, series in _entries(paths):
        try:
            cases = list(_cases_of(entry, series, control or Control()))
        except (ReadError, DataError) as error:
            problems.append(str(error))
            continue
        if name is not None and len(cases) == 1:
            cases = [cases[0].model_copy(update={"name": safe(name)})]
            _keep_apart(given, cases[0])
        for case in cases:
            found.setdefault((case.path, case.series_id), case)
    return _with_own_names(list(found.values()), set(given)), problems


def safe(name: str) -> str:
    """Return a name that can be that of a file.

    Examples
    --------
    >>> safe("../patient 7: left")
    '_patient 7_ left'
    """
    return "".join("_" if c in FORBIDDEN or not c.isprintable() else c for c in name).strip(". ") or "_"


def _entries(paths: Iterable[Path]) -> Iterator[tuple[Path, str | None, str | None]]:
    """Yield path, wanted name and wanted series of what the user named, with patterns and lists resolved."""
    for path in paths:
        if path.suffix.lower() in (".csv", ".txt") and path.is_file():
            yield from _listed(path)
        elif not path.exists() and glob.has_magic(str(path)):
            matches = sorted(glob.glob(str(path), recursive=True))
            if not matches:
                yield path, None, None
            yield from ((Path(match), None, None) for match in matches)
        else:
            yield path, None, None


def _listed(path: Path) -> Iterator[tuple[Path, str | None, str | None]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() == ".txt":
                rows = [{"image": line.strip()} for line in file if line.strip() and not line.startswith("#")]
            else:
                rows = [{key.strip().lower(): (value or "").strip() for key, value in row.items() if key is not None}
                        for row in csv.DictReader(file)]  # fmt: skip
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name} is not a list of images ({error}).", "Save it as text in UTF-8.") from error
    if not rows or "image" not in rows[0]:
        raise DataError(f"{path.name} has no column 'image'.", "Its first line must be: image, or image,name,series.")
    for row in rows:
        if row["image"]:
            yield path.parent / row["image"], row.get("name") or None, row.get("series") or None


def _cases_of(path: Path, series: str | None, control: Control) -> Iterator[Case]:
    if not path.is_dir():
        yield from _in_one(path, series, control)
        return
    units = list(_dicom_folders(path))
    if units:
        yield from _series_in(units, series, control)
        return
    files = [path] if path.suffix.lower() == MAPPED else images_in(path)
    if not files:
        raise ReadError(f"{path} holds no image.", "Choose a file or folder with images.")
    for file in files:
        yield from _in_one(file, series, control)


def _in_one(path: Path, series: str | None, control: Control) -> Iterator[Case]:
    """Yield the images of one file; one case for a file that has none or is damaged, which fails when it is read."""
    try:
        images = [i for i in scan(path, control) if i.kind == "image" and series in (None, i.series_id)]
    except ReadError:
        images = []
    if len(images) > 1:
        for info in images:
            yield Case(name=safe(f"{stem(path)}-{info.series_id}"), path=path.absolute(), series_id=info.series_id)
    else:
        yield Case(name=safe(stem(path)), path=path.absolute(), series_id=series)


def _series_in(folders: Sequence[Path], series: str | None, control: Control) -> Iterator[Case]:
    """Yield one case per series of images; one that is spread over several folders is read from what they share."""
    found: dict[str, SeriesInfo] = {}
    alone = Counter[Path]()
    for folder in folders:
        for info in scan(folder, control):
            if info.kind != "image" or series not in (None, info.series_id):
                continue
            alone[folder] += 1
            before = found.get(info.series_id)
            place = folder if before is None else Path(os.path.commonpath([before.path, folder]))
            found[info.series_id] = replace(info, path=place)
    if not found:
        raise ReadError(f"{folders[0]} holds no series of images.", "`napari-medseg info` lists what there is.")
    for info in found.values():
        name = info.path.name if alone[info.path] == 1 else f"{info.path.name}-{info.series_id}"
        yield Case(name=safe(name), path=info.path.absolute(), series_id=info.series_id)


def _dicom_folders(folder: Path) -> Iterator[Path]:
    """Yield the topmost folders that hold DICOM files themselves."""
    with os.scandir(folder) as entries:
        visible = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    files = (Path(entry.path) for entry in visible if entry.is_file())
    if any(_is_dicom(file) for file in islice(files, FIRST_FILES)):
        yield folder
        return
    for entry in visible:
        if entry.is_dir() and not any(form.matches(Path(entry.name)) for form in formats()):
            yield from _dicom_folders(Path(entry.path))


def _is_dicom(file: Path) -> bool:
    return next(form for form in formats() if form.name == "dicom").can_read(file) and not _is_archive(file)


def _is_archive(file: Path) -> bool:
    return file.suffix.lower() in (".zip", ".tar", ".gz", ".tgz")


def _with_own_names(cases: list[Case], taken: set[str]) -> list[Case]:
    """Return the cases with the folders above in front of names that occur twice."""
    depth = 1
    names = [case.name for case in cases]
    while twice := {name for name, count in Counter(name.casefold() for name in names).items() if count > 1}:
        for index, case in enumerate(cases):
            if names[index].casefold() in twice and case.name not in taken:
                above = case.path.parents
                if depth > len(above) or not above[depth - 1].name:
                    names[index] = f"{case.name}-{index + 1}"
                else:
                    names[index] = safe("-".join([*(p.name for p in reversed(above[:depth])), case.name]))
        depth += 1
    return [case.model_copy(update={"name": name}) for case, name in zip(cases, names, strict=True)]


def _keep_apart(given: dict[str, Case], case: Case) -> None:
    other = given.setdefault(case.name, case)
    if (other.path, other.series_id) != (case.path, case.series_id):
        raise DataError(f"The list gives the name {case.name} to two images.", "Give each a name of its own.")
