"""Files over HTTP: resumed where they broke off, of a known size and sum, and complete or not there."""

import hashlib
import logging
import os
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, build_opener

from napari_medseg.errors import MedsegError
from napari_medseg.progress import Control, Event, Progress

log = logging.getLogger(__name__)
TIMEOUT_SECONDS = 30.0
BLOCK_BYTES = 1 << 18
MAX_TEXT_BYTES = 4 << 20
MAX_MODEL_BYTES = 8 << 30
LOCAL = ("localhost", "127.0.0.1", "::1")
SUMS = {8: "sha256", 40: "sha1", 64: "sha256"}
"""Kinds of checksum, by their number of hexadecimal digits; torchvision gives the first eight."""


class DownloadError(MedsegError):
    """Something could not be fetched, or is not what it should be."""


def fetch_text(address: str) -> str | None:
    """Return a small text; None if there is none at the address.

    Raises
    ------
    DownloadError
        If it cannot be had, or is too large.
    """
    try:
        with _open(address) as response:
            content = response.read(MAX_TEXT_BYTES + 1)
    except HTTPError as error:
        if error.code == 404:
            return None
        raise _refused(address, error) from error
    except (OSError, HTTPException) as error:
        raise _offline(address, error) from error
    if len(content) > MAX_TEXT_BYTES:
        raise DownloadError(f"{address} is larger than {MAX_TEXT_BYTES} bytes.", "It is not what it should be.")
    return content.decode("utf-8", "replace")


def fetch_file(address: str, path: Path, checksum: str, control: Control) -> Iterator[Event]:
    """Fetch a file, unless it is there already.

    The content goes to ``<path>.part`` first; a later call goes on where it broke off.

    Parameters
    ----------
    address : str
        HTTPS, or HTTP of this machine.
    path : Path
        Where to.
    checksum : str
        SHA-1, SHA-256 or the first eight digits of it that the file must have; empty if its makers publish none.
    control : Control
        Cancels and pauses.

    Yields
    ------
    Event
        `Progress` in megabytes.

    Raises
    ------
    DownloadError
        If it cannot be had, is too large, or is another file than was promised; nothing is kept then.
    """
    if path.is_file() and checksum and _sum_of(path, checksum) == checksum.lower():
        return
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield from _fetch(address, part, control)
    except HTTPError as error:
        raise _refused(address, error) from error
    except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise _offline(address, error) from error
    except OSError as error:
        raise DownloadError(f"{part} cannot be written: {error.strerror}.", "Free space there.") from error
    found = _sum_of(part, checksum) if checksum else ""
    if found != checksum.lower():
        part.unlink()
        raise DownloadError(
            f"{address} is not the file that was promised: its sum is {found} instead of {checksum}.",
            "Nothing was kept. Try again later; if it stays so, tell the makers of the model.",
        )
    os.replace(part, path)


def _fetch(address: str, part: Path, control: Control) -> Iterator[Event]:
    start = part.stat().st_size if part.is_file() else 0
    try:
        response = _open(address, start)
    except HTTPError as error:
        # The part is already the whole, or does not belong to this file.
        if error.code != 416 or not start:
            raise
        start, response = 0, _open(address)
    with response, part.open("ab" if start and response.status == 206 else "wb") as file:
        start = start if response.status == 206 else 0
        size = start + int(response.headers.get("Content-Length") or 0)
        if size > MAX_MODEL_BYTES:
            raise DownloadError(f"{address} has {size} bytes.", "A model is not that large.")
        yield from _copy(response, file, start, size, control)
        file.flush()
        os.fsync(file.fileno())


def _copy(response: HTTPResponse, file: IO[bytes], done: int, size: int, control: Control) -> Iterator[Event]:
    while block := response.read(BLOCK_BYTES):
        control.checkpoint()
        file.write(block)
        done += len(block)
        if done > MAX_MODEL_BYTES:
            raise DownloadError(f"{response.url} does not end.", "A model is not that large.")
        yield Progress("Downloading (MB)", done >> 20, max(size, done) >> 20)
    if done < size:
        raise ConnectionError(f"broke off after {done} of {size} bytes")


def _open(address: str, start: int = 0) -> HTTPResponse:
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL):
        raise DownloadError(f"{address} is not an https address.", "Models are fetched over https only.")
    headers = {"User-Agent": "napari-medseg"} | ({"Range": f"bytes={start}-"} if start else {})
    response: HTTPResponse = build_opener().open(Request(address, headers=headers), timeout=TIMEOUT_SECONDS)
    return response


def _sum_of(path: Path, checksum: str) -> str:
    kind = SUMS.get(len(checksum))
    if kind is None:
        raise DownloadError(f"{path.name} has no checksum that is known here.", "Fetch it by hand, and add the file.")
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()[: len(checksum)]


def _refused(address: str, error: HTTPError) -> DownloadError:
    return DownloadError(f"{address} answers {error.code} {error.reason}.", "Check the name, or try again later.")


def _offline(address: str, error: Exception) -> DownloadError:
    reason = getattr(error, "reason", None) or error
    return DownloadError(
        f"{urlsplit(address).hostname} cannot be reached ({reason}).",
        "Check the connection; or fetch the model elsewhere, and add its folder or zip file.",
    )
