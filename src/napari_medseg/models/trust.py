"""Models that are programs, and which of them the user lets run.

Trust belongs to content: it is kept under the SHA-256 of every byte that may run, so a model that changes is a model
that is not trusted.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from platformdirs import user_config_path

from napari_medseg.errors import TrustError, WriteError

REMEDY = (
    "If you know where it comes from, let it run: say yes in the panel, or add it with "
    "`napari-medseg models add SOURCE --trust`."
)


@dataclass(frozen=True)
class Trusted:
    """A model that may run."""

    digest: str
    """SHA-256 of all that it consists of."""
    name: str
    since: str
    """Day on which the user said so, as YYYY-MM-DD."""


def trust_file() -> Path:
    """Return the file in which trust is kept."""
    home = os.environ.get("NAPARI_MEDSEG_HOME")
    return (Path(home) if home else user_config_path("napari-medseg", appauthor=False)) / "trusted.json"


def trusted() -> tuple[Trusted, ...]:
    """Return the models that may run, by name."""
    known = [
        Trusted(digest, str(about.get("name", "")), str(about.get("since", "")))
        for digest, about in _load().items()
        if isinstance(about, dict)
    ]
    return tuple(sorted(known, key=lambda entry: (entry.name.casefold(), entry.digest)))


def is_trusted(digest: str) -> bool:
    """Return whether the user lets the content with this digest run."""
    return digest in _load()


def trust(digest: str, name: str) -> None:
    """Let the content with this digest run, from now on.

    Raises
    ------
    WriteError
        If that cannot be kept.
    """
    _save(_load() | {digest: {"name": name, "since": datetime.now(UTC).date().isoformat()}})


def distrust(digest: str) -> bool:
    """Take trust back; return whether there was any."""
    known = _load()
    if known.pop(digest, None) is None:
        return False
    _save(known)
    return True


def require(digest: str, name: str, why: str) -> None:
    """Raise `TrustError` unless the content with this digest is trusted.

    Parameters
    ----------
    digest : str
        SHA-256 of all that would run.
    name : str
        Of the model.
    why : str
        What would run, as the end of the sentence "NAME ...".
    """
    if not is_trusted(digest):
        raise TrustError(f"{name} {why}.", REMEDY, digest, name)


def digest_of(content: Path | bytes) -> str:
    """Return the SHA-256 of a file or its content, or of the names and contents of all files of a folder."""
    if isinstance(content, bytes):
        return _combined([("", hashlib.sha256(content).hexdigest())])
    path = content
    stamps = tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in _stats(path))
    return _digest(path, stamps)


@lru_cache(maxsize=64)
def _digest(path: Path, stamps: tuple[tuple[str, int, int], ...]) -> str:
    found = []
    for name, _, _ in stamps:
        with (path / name if name else path).open("rb") as file:
            found.append((name, hashlib.file_digest(file, "sha256").hexdigest()))
    return _combined(found)


def _combined(files: Iterable[tuple[str, str]]) -> str:
    return hashlib.sha256("".join(f"{name}\0{digest}\n" for name, digest in files).encode()).hexdigest()


def _stats(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    if path.is_file():
        yield "", path.stat()
        return
    # What Python writes while it runs is not part of the model.
    files = (p for p in sorted(path.rglob("*")) if p.is_file() and "__pycache__" not in p.parts)
    for file in files:
        yield file.relative_to(path).as_posix(), file.stat()


def _load() -> dict[str, Any]:
    try:
        content = json.loads(trust_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # Whatever is wrong with the file, nothing is trusted then.
        return {}
    return content if isinstance(content, dict) else {}


def _save(known: dict[str, Any]) -> None:
    path = trust_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=path.parent, prefix=".trusted.", delete=False, encoding="utf-8") as file:
            json.dump(known, file, indent=1)
        os.replace(file.name, path)
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror}.", "Free space there.") from error
