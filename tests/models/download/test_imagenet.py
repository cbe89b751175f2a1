"""ImageNet weights are fetched once, checked by the sum in their name, and may come from a copy."""

import hashlib
from types import SimpleNamespace

import pytest

from napari_medseg.errors import BundleError
from napari_medseg.models import pretrained
from napari_medseg.models.download.fetch import DownloadError
from napari_medseg.models.pretrained import fetch_imagenet
from napari_medseg.progress import Control, Note

CONTENT = b"weights" * 100
NAME = f"resnet18-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


def fetch(network="resnet18"):
    """Return the events and the path."""
    events, job = [], fetch_imagenet(network, Control())
    while True:
        try:
            events.append(next(job))
        except StopIteration as done:
            return events, done.value


@pytest.fixture
def weights(monkeypatch):
    known = {"DEFAULT": SimpleNamespace(url=f"https://download.pytorch.org/models/{NAME}")}
    monkeypatch.setattr("torchvision.models.get_model_weights", lambda _name: known)


@pytest.mark.usefixtures("weights")
def test_fetched_once_with_licence_and_sum(server, monkeypatch):
    monkeypatch.setenv(pretrained.MIRROR, server.address)
    server.content[f"/{NAME}"] = CONTENT
    events, path = fetch()
    assert path.read_bytes() == CONTENT
    assert "BSD-3-Clause" in next(event.text for event in events if isinstance(event, Note))
    fetch()
    assert len(server.asked) == 1


@pytest.mark.usefixtures("weights")
def test_another_file_is_refused(server, monkeypatch):
    monkeypatch.setenv(pretrained.MIRROR, server.address)
    server.content[f"/{NAME}"] = CONTENT + b"!"
    with pytest.raises(DownloadError, match="not the file that was promised"):
        fetch()


@pytest.mark.usefixtures("weights")
def test_without_a_connection_the_remedy_is_a_file(monkeypatch):
    monkeypatch.setenv(pretrained.MIRROR, "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match="cannot be reached") as refused:
        fetch()
    assert "fetch the model elsewhere" in refused.value.remedy


def test_networks_without_imagenet_weights():
    with pytest.raises(BundleError, match="no ImageNet weights for cnn_small"):
        fetch("cnn_small")
