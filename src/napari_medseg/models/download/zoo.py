"""MONAI's model zoo."""

import json
import os
import re
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_medseg.errors import ConfigError
from napari_medseg.models.download.fetch import DownloadError, fetch_file, fetch_text
from napari_medseg.models.download.offer import Offer
from napari_medseg.models.library import library_folder
from napari_medseg.progress import Control, Event

ADDRESS = "https://raw.githubusercontent.com/Project-MONAI/model-zoo/dev/models"
ADDRESS_VARIABLE = "NAPARI_MEDSEG_ZOO"
INDEX = "model_info.json"
KEY = re.compile(r"(?P<name>[\w-]+)_v(?P<version>\d+(?:\.\d+)*)")
LICENCES = {
    "Apache License": "Apache-2.0",
    "MIT License": "MIT",
    "BSD 3-Clause": "BSD-3-Clause",
    "NVIDIA": "NVIDIA licence; read its text",
}
"""What the first lines of a licence's text hold, and its name."""


@dataclass(frozen=True)
class Entry:
    """A version of a model in the zoo's index."""

    name: str
    version: str
    source: str
    checksum: str

    @property
    def order(self) -> tuple[int, ...]:
        """Number that grows with the version."""
        return tuple(int(part) for part in self.version.split("."))


def zoo_address() -> str:
    """Return the address of the zoo's folder of models; the environment variable ``NAPARI_MEDSEG_ZOO`` changes it."""
    return (os.environ.get(ADDRESS_VARIABLE) or ADDRESS).rstrip("/")


def zoo_models() -> tuple[Entry, ...]:
    """Return the newest version of every model in the zoo, by name.

    Raises
    ------
    DownloadError
        If the index cannot be had, or is no index.
    """
    newest: dict[str, Entry] = {}
    for entry in _index():
        if entry.name not in newest or entry.order > newest[entry.name].order:
            newest[entry.name] = entry
    return tuple(newest[name] for name in sorted(newest))


def zoo_offer(name: str) -> Offer:
    """Return what the zoo says of a model, with its licence. Fetches a few small texts.

    Parameters
    ----------
    name : str
        Such as ``spleen_ct_segmentation``, or with a version, ``spleen_ct_segmentation@0.5.3``.

    Raises
    ------
    ConfigError
        If the zoo has no such model.
    DownloadError
        If the zoo cannot be reached.
    """
    wanted, _, version = name.partition("@")
    found = [entry for entry in _index() if entry.name == wanted and version in ("", entry.version)]
    if not found:
        known = sorted({entry.name for entry in _index()})
        close = [other for other in known if wanted.split("_")[0] in other][:5]
        raise ConfigError(
            f"The model zoo has no {name!r}.", f"It has {', '.join(close or known[:5])} and {len(known)} models in all."
        )
    entry = max(found, key=lambda candidate: candidate.order)
    about = _json(fetch_text(f"{zoo_address()}/{entry.name}/configs/metadata.json"))
    licence = fetch_text(f"{zoo_address()}/{entry.name}/LICENSE") or ""
    data = fetch_text(f"{zoo_address()}/{entry.name}/docs/data_license.txt") or ""
    references = about.get("references")
    return Offer(
        entry.name,
        entry.version,
        entry.source,
        entry.checksum,
        str(about.get("description", "")),
        _licence_name(licence),
        licence,
        " ".join(data.split())[:300],
        "; ".join(map(str, references)) if isinstance(references, list) else "",
    )


def download_zoo_model(offer: Offer, control: Control) -> Generator[Event, None, Path]:
    """Fetch the zip file of a model, unless it was fetched before.

    Parameters
    ----------
    offer : Offer
        As `zoo_offer` gives it, after the user agreed to the licence.
    control : Control
        Cancels and pauses.

    Yields
    ------
    Event
        `Progress` in megabytes.

    Returns
    -------
    Path
        The zip file, whose sum is that of the index.

    Raises
    ------
    DownloadError
        If it cannot be had, or is another file than the index promises.
    """
    path = library_folder().parent / "downloads" / f"{offer.name}_v{offer.version}.zip"
    yield from fetch_file(offer.source, path, offer.checksum, control)
    return path


def _index() -> list[Entry]:
    address = f"{zoo_address()}/{INDEX}"
    text = fetch_text(address)
    if text is None:
        raise DownloadError(f"There is no index of models at {address}.", f"Check {ADDRESS_VARIABLE}.")
    entries = []
    for key, about in _json(text).items():
        match = KEY.fullmatch(key)
        if match is None or not isinstance(about, dict):
            continue
        source, checksum = about.get("source"), about.get("checksum")
        if isinstance(source, str) and isinstance(checksum, str):
            entries.append(Entry(match["name"], match["version"], source, checksum.lower()))
    if not entries:
        raise DownloadError(f"{address} is no index of models.", f"Check {ADDRESS_VARIABLE}.")
    return entries


def _json(text: str | None) -> dict[str, Any]:
    try:
        content = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _licence_name(text: str) -> str:
    head = text[:600]
    known = [name for sign, name in LICENCES.items() if sign in head]
    return known[0] if known else " ".join(head.split())[:120]
