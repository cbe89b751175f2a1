"""Files over HTTP are complete and what was promised, or not there."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_medseg.errors import Cancelled
from napari_medseg.models.download import fetch
from napari_medseg.models.download.fetch import DownloadError, fetch_file, fetch_text
from napari_medseg.progress import Control, Progress

CONTENT = bytes(range(256)) * 3000
SHA1, SHA256 = hashlib.sha1(CONTENT).hexdigest(), hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def get(server, tmp_path: Path) -> Callable[..., Path]:
    server.content["/model.zip"] = CONTENT

    def call(checksum: str = SHA1) -> Path:
        list(fetch_file(f"{server.address}/model.zip", tmp_path / "deep" / "model.zip", checksum, Control()))
        return tmp_path / "deep" / "model.zip"

    return call


@pytest.mark.parametrize("checksum", [SHA1, SHA256, SHA1.upper(), ""])
def test_a_file_comes_once_and_is_checked(checksum, get, server):
    assert get(checksum).read_bytes() == CONTENT
    get(checksum)
    assert len(server.asked) == (1 if checksum else 2)


def test_what_broke_off_goes_on_where_it_was(get, server, tmp_path):
    server.cut = 500_000
    with pytest.raises(DownloadError, match=r"cannot be reached|broke off|IncompleteRead"):
        get()
    assert not (tmp_path / "deep" / "model.zip").exists()
    assert (tmp_path / "deep" / "model.zip.part").stat().st_size == 500_000
    server.cut = None
    assert get().read_bytes() == CONTENT
    assert server.asked[-1] == ("/model.zip", "bytes=500000-")


def test_a_server_that_starts_again_is_understood(get, server):
    server.cut = 500_000
    with pytest.raises(DownloadError):
        get()
    server.cut, server.ranges = None, False
    assert get().read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_fetched_again(get, server, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "model.zip.part").write_bytes(CONTENT + b"more")
    assert get().read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == [f"bytes={len(CONTENT) + 4}-", None]


def test_another_file_than_was_promised_is_not_kept(get, tmp_path):
    with pytest.raises(DownloadError, match="not the file that was promised"):
        get("0" * 40)
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_kind_of_sum_that_is_not_known_is_refused(get):
    with pytest.raises(DownloadError, match="no checksum that is known"):
        get("123")


def test_progress_is_told_and_cancel_keeps_the_part(server, tmp_path):
    server.content["/model.zip"] = CONTENT
    control = Control()
    events = fetch_file(f"{server.address}/model.zip", tmp_path / "model.zip", SHA1, control)
    assert next(events) == Progress("Downloading (MB)", 0, 0)
    control.cancel()
    with pytest.raises(Cancelled):
        list(events)
    assert (tmp_path / "model.zip.part").exists()


def test_other_addresses_than_https_are_refused(tmp_path):
    for address in ("http://example.org/model.zip", "file:///etc/passwd", "ftp://example.org/x"):
        with pytest.raises(DownloadError, match="https only"):
            list(fetch_file(address, tmp_path / "model.zip", SHA1, Control()))


def test_no_connection_is_said_in_words(tmp_path):
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1 cannot be reached") as caught:
        list(fetch_file("http://127.0.0.1:9/model.zip", tmp_path / "model.zip", SHA1, Control()))
    assert "fetch the model elsewhere" in caught.value.remedy
    with pytest.raises(DownloadError, match="cannot be reached"):
        fetch_text("http://127.0.0.1:9/index.json")


def test_texts_are_small_and_may_be_missing(server, monkeypatch):
    server.content["/small"] = "größer".encode()
    assert fetch_text(f"{server.address}/small") == "größer"
    assert fetch_text(f"{server.address}/none") is None
    monkeypatch.setattr(fetch, "MAX_TEXT_BYTES", 3)
    with pytest.raises(DownloadError, match="larger than 3"):
        fetch_text(f"{server.address}/small")


def test_a_file_that_is_too_large_is_refused(get, monkeypatch):
    monkeypatch.setattr(fetch, "MAX_MODEL_BYTES", 1000)
    with pytest.raises(DownloadError, match="not that large"):
        get()
