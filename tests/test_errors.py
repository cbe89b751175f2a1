"""Errors keep their two sentences across processes."""

import pickle

import pytest

from napari_medseg.errors import Cancelled, MedsegError, ReadError, WorkerLostError


@pytest.mark.parametrize("kind", [ReadError, WorkerLostError])
def test_problem_and_remedy_survive_pickling(kind: type[MedsegError]) -> None:
    error = pickle.loads(pickle.dumps(kind("The file ends early.", "Copy it again.")))
    assert type(error) is kind
    assert (error.problem, error.remedy) == ("The file ends early.", "Copy it again.")
    assert str(error) == "The file ends early. Copy it again."


def test_error_without_remedy_has_no_trailing_space() -> None:
    assert str(ReadError("Broken.")) == "Broken."


def test_cancelled_survives_pickling() -> None:
    assert str(pickle.loads(pickle.dumps(Cancelled()))) == "Stopped on request."
