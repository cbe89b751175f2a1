"""A planted cue that alone decides the class carries the mass of every map."""

import sys
from pathlib import Path

import numpy as np
import pytest

from napari_medseg.explain import ExplainOptions, Explanation, explain, methods
from napari_medseg.progress import Finished, Progress

sys.path.append(str(Path(__file__).parent))
from cue_models import cue_classifier, cue_segmenter, oblique, plane, share_inside

QUICK = ExplainOptions(device="cpu", curve_steps=5, randomisations=1)
CUE = (slice(6, 14), slice(18, 26))
REACH = {"grad-cam": 12, "grad-cam++": 12, "feature-maps": 12, "occlusion": 4, "lime": 2, "smoothgrad": 1}
"""Voxels: a feature of the last layer stands for 8 voxels and is laid out smoothly; a window has 4."""


def explained(volume, bundle, method, target=None, options=QUICK) -> Explanation:
    *others, last = explain(volume, bundle, method, target, options)
    assert isinstance(last, Finished)
    assert any(isinstance(event, Progress) for event in others)
    return last.result


@pytest.mark.parametrize("method", [method.name for method in methods()])
def test_the_cue_carries_the_mass_in_a_plane(method):
    found = explained(plane(), cue_classifier(), method, "cue")
    values = np.asarray(found.map.data)
    values = values[0] if values.ndim == 3 else values
    assert share_inside(values, CUE, REACH.get(method, 0)) > 0.8, method
    assert values[CUE].mean() > 3 * np.abs(values).mean()
