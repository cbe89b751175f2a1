"""Runs long work: in this thread, or in a worker process that keeps torch and its memory out of this one."""

from napari_medseg.jobs.inline import InlineEngine
from napari_medseg.jobs.job import ENDED, Job, JobState, StateChanged
from napari_medseg.jobs.local import LocalEngine, local_engine
from napari_medseg.jobs.thread import Tell, ThreadJob
from napari_medseg.jobs.work import Work

__all__ = [
    "ENDED",
    "InlineEngine",
    "Job",
    "JobState",
    "LocalEngine",
    "StateChanged",
    "Tell",
    "ThreadJob",
    "Work",
    "local_engine",
]
