"""MedicalNet's weights are fetched once, checked by the sum that their repository states, and may come from a copy."""

import hashlib

import pytest

from napari_medseg.errors import BundleError
from napari_medseg.models import medicalnet
from napari_medseg.models.download.fetch import DownloadError
from napari_medseg.progress import Control, Note

CONTENT = b"weights" * 100
PLACE = "/MedicalNet-Resnet10"
FILE = "resnet_10_23dataset.pth"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{hashlib.sha256(CONTENT).hexdigest()}\nsize 700\n"


def fetch(architecture="resnet10_3d"):
    """Return the events and the path."""
    events, job = [], medicalnet.fetch_medicalnet(architecture, Control())
    while True:
        try:
            events.append(next(job))
        except StopIteration as done:
            return events, done.value


@pytest.fixture
def copy(server, monkeypatch):
    """Return a server with a copy of the repository."""
    monkeypatch.setenv(medicalnet.MIRROR, server.address)
    server.content[f"{PLACE}/raw/main/{FILE}"] = POINTER.encode()
    server.content[f"{PLACE}/resolve/main/{FILE}"] = CONTENT
    return server


def test_fetched_once_with_licence_and_sum(copy):
    events, path = fetch()
    assert path.read_bytes() == CONTENT
    assert "MIT" in next(event.text for event in events if isinstance(event, Note))
    asked = len(copy.asked)
    fetch()
    assert len(copy.asked) == asked


def test_another_file_is_refused(copy):
    copy.content[f"{PLACE}/resolve/main/{FILE}"] = CONTENT + b"!"
    with pytest.raises(DownloadError, match="not the file that was promised"):
        fetch()


def test_a_repository_without_a_sum_is_refused(copy):
    copy.content[f"{PLACE}/raw/main/{FILE}"] = b"nothing"
    with pytest.raises(DownloadError, match="does not say the sum"):
        fetch()


def test_without_a_connection_the_remedy_is_a_file(monkeypatch):
    monkeypatch.setenv(medicalnet.MIRROR, "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match="cannot be reached") as refused:
        fetch()
    assert "fetch the model elsewhere" in refused.value.remedy


def test_other_networks_have_none():
    with pytest.raises(BundleError, match="no weights for cnn_small"):
        fetch("cnn_small")
