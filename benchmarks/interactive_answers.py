"""How long a user waits for the sketch's answer on the slice in view, after a stroke on a large volume."""

import time
from pathlib import Path

import numpy as np
from scipy.ndimage import zoom

from napari_medseg.data.samples import mni152_path, mni152_tissues
from napari_medseg.data.strokes import Annotator, draw_strokes
from napari_medseg.io import read, write
from napari_medseg.models.design import Design, design_spec
from napari_medseg.progress import Control, Preview
from napari_medseg.training import Case, LabelsChanged, ShowSlice, TrainConfig, create_run, train
from napari_medseg.volume import Geometry, LabelClass, Volume

SIZE = 256
"""Voxels along each axis."""


def answers(folder: Path, strokes: int) -> list[float]:
    """Return the seconds from each stroke, on a slice that has just come into view, to the new labels of that slice.

    Parameters
    ----------
    folder : Path
        For the run.
    strokes : int
        How many; they go around the three axes.
    """
    (head,) = read(mni152_path("t1"))
    grow = [SIZE / n for n in head.data.shape]
    image = zoom(np.asarray(head.data, np.float32), grow, order=1)
    truth = zoom(np.asarray(mni152_tissues().data), grow, order=0)
    geometry = Geometry(image.shape, np.diag([1.0, 1.0, 1.0, 1.0]))
    volume = Volume(image, geometry, name="head", modality="MR")
    first = draw_strokes(truth, [(0, SIZE // 2)], Annotator(strokes=3))
    write(volume, folder / "head.medvol")
    write(Volume(first, geometry, name="labels", kind="labels"), folder / "labels.medvol")
    labels = np.load(folder / "labels.medvol" / "data.npy", mmap_mode="r+")
    classes = [LabelClass(value=k, name=f"class {k}") for k in range(1, int(truth.max()) + 1)]
    spec = design_spec("answers", volume, classes, Design(size="sketch"))
    case = Case(id="head", image=folder / "head.medvol", labels=folder / "labels.medvol")
    run = create_run(folder / "run", spec, [case], TrainConfig(hold_out=0))
    control, seconds, sent = Control(), [], 0.0
    places = [(k % 3, SIZE // 4 + 7 * k % (SIZE // 2)) for k in range(strokes)]
    control.send(ShowSlice("head", *places[0]))
    for event in train(run, control, live=True):
        if not isinstance(event, Preview) or (event.axis, event.index) != places[len(seconds)]:
            continue
        if sent:
            seconds.append(time.perf_counter() - sent)
            sent = 0.0
            if len(seconds) == strokes:
                break
            control.send(ShowSlice("head", *places[len(seconds)]))
            continue
        stroke = draw_strokes(truth, [places[len(seconds)]], Annotator(strokes=1, seed=len(seconds)))
        drawn = stroke > 0
        labels[drawn] = stroke[drawn]
        labels.flush()
        low, high = np.argwhere(drawn).min(axis=0), np.argwhere(drawn).max(axis=0) + 1
        sent = time.perf_counter()
        control.send(LabelsChanged("head", tuple(map(int, low)), tuple(map(int, high))))
    return seconds
