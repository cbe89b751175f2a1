"""From a run's folder to a sketch that is ready to learn."""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, cast

from napari_medseg.data.split import hold_out
from napari_medseg.device import choose
from napari_medseg.models.registry import build
from napari_medseg.progress import Control, Event, Note, Progress
from napari_medseg.tasks import task_named
from napari_medseg.training.journal import Journal
from napari_medseg.training.opening import STAGE
from napari_medseg.training.prepare import load_case
from napari_medseg.training.run import RunFolder
from napari_medseg.training.sketch.loop import Sketching, sketch

if TYPE_CHECKING:
    from napari_medseg.models.nets.sketch import SketchNetwork


def train_sketch(run: RunFolder, control: Control, live: bool) -> Iterator[Event]:
    """Learn the pixel classifier that a run's folder describes; see `napari_medseg.training.train`."""
    sketching = yield from _open(run, control)
    yield from sketch(sketching, control, live)


def _open(run: RunFolder, control: Control) -> Generator[Event, None, Sketching]:
    config = run.load()
    run.clear()
    journal, cases = Journal(run), []
    for done, case in enumerate(config.cases):
        control.checkpoint()
        yield Progress(STAGE, done, len(config.cases))
        cases.append(load_case(case, config.spec, journal.keep))
        yield from (Note(text, "warning") for text in cases[-1].grid.notes)
    if config.init is not None:
        yield Note("A pixel classifier learns anew; what the model it starts from had learnt is not used.", "warning")
    held_out = hold_out([case.sample for case in cases], config.train.hold_out, config.train.seed)
    device = choose(config.train.device)
    network = cast("SketchNetwork", build(config.spec).to(device))
    journal.begin(0, cases, device)
    yield Note(f"Learning on {device}. {held_out.note}", "info" if held_out.masks else "warning")
    task = task_named(config.spec.task)
    return Sketching(run, config.train, config.spec, cases, held_out, journal, task, network)
