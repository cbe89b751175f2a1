"""Images of several frames or colours, enhanced one after the other."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from napari_medseg.inference.restoration.restored import Restored
from napari_medseg.models import Bundle
from napari_medseg.progress import Control, Event, Finished, Progress
from napari_medseg.volume import Volume
from napari_medseg.volume.frames import frames_of, joined

Way = Callable[[Volume, Bundle | None], Iterator[Event]]
"""Enhances an image of one channel, with the network that was learned from another frame if there is one, and ends with
`Finished` of (`Restored`, `Bundle` or None)."""


def each_frame(volume: Volume, way: Way, control: Control) -> Iterator[Event]:
    """Enhance the frames of an image, or its colours.

    What learns from an image learns from the middle one, and applies what it learned to the others.

    Parameters
    ----------
    volume : Volume
        The image.
    way : callable
        How.
    control : Control
        Cancels and pauses.

    Yields
    ------
    Event
        Those of the way, and last `Finished` with (`Restored`, `Bundle` or None).
    """
    frames = frames_of(volume)
    middle = len(frames) // 2
    found: dict[int, Restored] = {}
    network: Bundle | None = None
    for number in sorted(range(len(frames)), key=lambda number: number != middle):
        control.checkpoint()
        yield Progress("Frames" if volume.axes else "Colours", len(found), len(frames))
        for event in way(frames[number], network):
            if isinstance(event, Finished):
                assert isinstance(event.result, tuple)
                found[number], learned = event.result
                network = network or learned
            else:
                yield event
    yield Finished((_joined(volume, [found[number] for number in range(len(frames))], middle), network))


def _joined(volume: Volume, parts: list[Restored], middle: int) -> Restored:
    """Return one image of many; what was said of the middle frame holds for all of them."""
    said = parts[middle]
    what = "frame" if volume.axes else "colour"
    derivation = f"{said.image.derivation.removesuffix('.')}. So was each {what} of {len(parts)}."
    data = joined([np.asarray(part.image.data) for part in parts], volume)
    image = replace(volume, data=data, geometry=said.image.geometry, name=said.image.name, derivation=derivation)
    spreads = [np.asarray(part.spread.data) for part in parts if part.spread is not None]
    # What only the middle one tells, such as the steps of learning, holds for all.
    report = {
        key: float(np.mean([part.report.get(key, value) for part in parts])) for key, value in said.report.items()
    }
    report["seconds"] = sum(part.report["seconds"] for part in parts)
    if said.spread is None or len(spreads) < len(parts):
        return Restored(said.title, image, None, report)
    uncertain = joined(spreads, volume)
    # Of colours it is the mean over them.
    plain = uncertain.mean(-1) if volume.rgb else uncertain
    spread = replace(said.spread, data=plain, axes=volume.axes, axis_values=volume.axis_values)
    return Restored(said.title, image, spread, report)
