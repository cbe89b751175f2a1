"""Which cases of a folder are meant: names in a file, such as the part of a split."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from napari_medseg.errors import ConfigError
from napari_medseg.io.case_names import without_ends
from napari_medseg.io.format import stem

COLUMNS = ("case", "name", "id", "image")
"""Where a table may have its names; else they are in its first column."""

T = TypeVar("T")


def case_names(choice: str) -> tuple[str, ...]:
    """Return the names that a file lists.

    Parameters
    ----------
    choice : str
        A text file with a name per line; a JSON file with a list of names, or with lists by key as ``FILE:KEY``; or a
        CSV file, of whose rows ``FILE:COLUMN=VALUE`` takes those with that value. Names may be paths of files.

    Raises
    ------
    ConfigError
        If there is no such file, or no name in it.

    Examples
    --------
    >>> case_names("nowhere.json:train")
    Traceback (most recent call last):
    ...
    napari_medseg.errors.ConfigError: There is no file nowhere.json with names of cases. Check the path.
    """
    path, part = Path(choice), ""
    if not path.is_file():
        head, _colon, part = choice.rpartition(":")
        path = Path(head or choice)
    if not path.is_file():
        raise ConfigError(f"There is no file {path} with names of cases.", "Check the path.")
    try:
        names = _READERS.get(path.suffix.lower(), _lines)(path, part)
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read as a list of cases ({error}).", "Save it in UTF-8.") from error
    found = tuple(dict.fromkeys(stem(Path(name)) for name in names if name))
    if not found:
        raise ConfigError(f"{choice} names no case.", "Check what comes after the colon.")
    return found


def chosen(found: dict[str, T], choice: str | None, where: object, ends: tuple[str, str] = ("", "")) -> dict[str, T]:
    """Return the entries that a list names, with `ends` or without; all of them if there is no list.

    Raises
    ------
    ConfigError
        If the list names a case that is not there.
    """
    if choice is None:
        return found
    names = without_ends(case_names(choice), found, ends)
    missing = [name for name in names if name not in found]
    if missing:
        raise ConfigError(
            f"{len(missing)} of {len(names)} cases of {choice} are not in {where}, such as {missing[0]}.",
            "Name the cases as their files, without suffix.",
        )
    return {name: found[name] for name in names}


def _lines(path: Path, _part: str) -> Iterable[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]


def _json(path: Path, part: str) -> Iterable[str]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, dict):
        if part not in content:
            raise ConfigError(f"{path} has no list {part!r}.", f"It has {', '.join(map(str, content))}: {path}:KEY.")
        content = content[part]
    if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
        raise ConfigError(f"{path} does not hold a list of names there.", 'It must look like ["case1", "case2"].')
    return content


def _table(path: Path, part: str) -> Iterable[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = list(rows[0]) if rows else []
    column, _equals, value = part.partition("=")
    if part and column not in columns:
        raise ConfigError(f"{path} has no column {column!r}.", f"It has {', '.join(columns)}.")
    names = next((name for name in columns if name.lower() in COLUMNS), columns[0] if columns else "")
    return [row[names] or "" for row in rows if not part or row[column] == value]


_READERS = {".json": _json, ".csv": _table}
