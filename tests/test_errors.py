"""Errors keep their two sentences across processes."""

import pickle

import pytest

from napari_medseg.errors import Cancelled, LicenceError, MedsegError, ReadError, TrustError, WorkerLostError


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


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (TrustError("It is a program.", "Trust it.", "ab12", "liver"), {"digest": "ab12", "name": "liver"}),
        (LicenceError("It has terms.", "Read them.", "MIT\nMore", "cd34"), {"terms": "MIT\nMore", "token": "cd34"}),
    ],
)
def test_what_a_user_is_asked_travels_between_processes(error: MedsegError, fields: dict[str, str]) -> None:
    there = pickle.loads(pickle.dumps(error))
    assert type(there) is type(error)
    assert (there.problem, there.remedy) == (error.problem, error.remedy)
    assert {name: getattr(there, name) for name in fields} == fields
