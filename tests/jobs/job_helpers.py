"""How the tests talk to a job."""

import threading

from napari_medseg.jobs import Job, LocalEngine, StateChanged, Work
from napari_medseg.progress import Event, Note

LIMIT = 60


def submit(engine: LocalEngine, function: str, exclusive: bool = True, **arguments: object) -> Job:
    return engine.submit(Work(f"job_targets:{function}", arguments, exclusive))


def until(condition: threading.Event) -> None:
    assert condition.wait(LIMIT)


def heard(job: Job, text: str) -> threading.Event:
    """Return an event that is set once the job noted `text`, and take in all that it says."""
    said = threading.Event()
    job.on(lambda event: said.set() if isinstance(event, Note) and text in event.text else None)
    return said


def in_state(job: Job, state: str) -> threading.Event:
    reached = threading.Event()
    job.on(lambda event: reached.set() if isinstance(event, StateChanged) and event.state == state else None)
    return reached


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Note)]
