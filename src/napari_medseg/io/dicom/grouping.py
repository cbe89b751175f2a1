"""Which frames make one volume, and which volumes follow one another in time, b-value or another step."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from napari_medseg.io.dicom.frame import Frame, Value

SAME_DIRECTION = 2e-3
"""Largest difference of direction cosines within one volume: about a tenth of a degree."""
SAME_POSITION_MM = 0.01
SAME_SPACING_MM = 0.001
SAME_ECHO_MS = 0.05
STEP_NAMES = (
    "time position", "b_value", "time offset", "trigger", "frame time", "dimension", "acquisition", "inversion time",
    "flip angle", "clock",
)  # fmt: skip
"""In the order in which they are trusted to tell frames at one position apart."""
SECONDS = {"time offset": 1.0, "trigger": 1e-3, "frame time": 1e-3, "clock": 1.0}
"""Steps that are times, and their unit."""
UNWEIGHTED = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Sequence4D:
    """Volumes on the same positions, one after another."""

    volumes: tuple[tuple[Frame, ...], ...]
    """[step][slice], slices sorted along their normal; one step unless frames repeat positions."""
    warnings: tuple[str, ...] = ()


def series_of(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Split frames into sets that may share a volume: same series, kind, size and orientation."""
    by_key: dict[tuple[Value, ...], list[Frame]] = defaultdict(list)
    for frame in frames:
        by_key[frame.apart].append(frame)
    return [group for same in by_key.values() for group in _by_measures(same)]


def _by_measures(frames: list[Frame]) -> list[list[Frame]]:
    """Split frames by what headers round: echo time, direction and distance of pixels."""
    equal: dict[tuple[float, ...], list[Frame]] = defaultdict(list)
    for frame in frames:
        equal[_measures(frame)].append(frame)
    groups: list[tuple[tuple[float, ...], list[Frame]]] = []
    for measures, same in equal.items():
        near = (group for known, group in groups if _are_near(known, measures))
        group = next(near, None)
        if group is None:
            groups.append((measures, same))
        else:
            group += same
    return [group for _, group in groups]


def _measures(frame: Frame) -> tuple[float, ...]:
    """Return the echo time, and direction and distance of pixels if there are any."""
    plane = frame.plane
    return (frame.echo,) if plane is None else (frame.echo, *plane.orientation, *plane.spacing)


def _are_near(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    within = (SAME_ECHO_MS, *[SAME_DIRECTION] * 6, *[SAME_SPACING_MM] * 2)
    return len(a) == len(b) and all(abs(x - y) < limit for x, y, limit in zip(a, b, within, strict=False))


def sequences_of(frames: list[Frame]) -> list[Sequence4D]:
    """Arrange frames of one orientation into volumes without repeated positions.

    Parameters
    ----------
    frames : list of Frame
        One set from `series_of`, all with a plane.

    Returns
    -------
    list of Sequence4D
        One, unless frames lie beside each other in one plane, or some steps cover only part of the positions.
    """
    frames = sorted(frames, key=lambda frame: frame.order)
    found: list[Sequence4D] = []
    for column in _side_by_side(frames):
        places = _places(column)
        if max(places) + 1 == len(column):
            found.append(Sequence4D((_sorted(column, places),)))
        else:
            found += _split(column, places)
    return found


def _split(frames: list[Frame], places: list[int]) -> list[Sequence4D]:
    """Return the volumes of frames that repeat positions."""
    groups = _complete_split(frames, places) or _by_turn(frames, places)
    whole = max(len(group) for group in groups)
    slot = dict(zip(map(id, frames), places, strict=True))
    by_places: dict[frozenset[int], list[list[Frame]]] = defaultdict(list)
    for group in groups:
        by_places[frozenset(slot[id(frame)] for frame in group)].append(group)
    found = []
    for covered, same in by_places.items():
        volumes = tuple(_sorted(group, [slot[id(frame)] for frame in group]) for group in same)
        note = f"Only {len(covered)} of {whole} slice positions are there for {len(same)} of {len(groups)} steps."
        found.append(Sequence4D(volumes, () if len(covered) == whole else (note,)))
    return found


def _complete_split(frames: list[Frame], places: list[int]) -> list[list[Frame]] | None:
    """Return the groups that the most trusted step makes without repeating a position; whole volumes come first."""
    partial: list[list[Frame]] | None = None
    count = max(places) + 1
    for values in _candidates(frames):
        groups: dict[Value, list[tuple[Frame, int]]] = defaultdict(list)
        for frame, place, value in zip(frames, places, values, strict=True):
            groups[value].append((frame, place))
        if len(groups) < 2 or any(len({place for _, place in group}) < len(group) for group in groups.values()):
            continue
        ordered = [[frame for frame, _ in group] for _, group in sorted(groups.items(), key=_step_order(groups))]
        if all(len(group) == count for group in ordered):
            return ordered
        if len(ordered) * count < 2 * len(frames) and partial is None:
            partial = ordered
    uniform = len(frames) % count == 0 and np.all(np.bincount(places) == len(frames) // count)
    return None if uniform else partial


def _step_order(
    groups: dict[Value, list[tuple[Frame, int]]],
) -> Callable[[tuple[Value, list[tuple[Frame, int]]]], tuple[float, ...]]:
    """Return the sort key of steps: numbers by value, everything else in the order of acquisition."""
    numeric = all(isinstance(value, float) for value in groups)

    def key(entry: tuple[Value, list[tuple[Frame, int]]]) -> tuple[float, ...]:
        value, group = entry
        first = min(frame.order for frame, _ in group)
        return (value, *first) if numeric and isinstance(value, float) else first

    return key


def _by_turn(frames: list[Frame], places: list[int]) -> list[list[Frame]]:
    """Return the first frame at each position, then the second at each, ..., in the order of acquisition."""
    turns: dict[int, int] = defaultdict(int)
    groups: list[list[Frame]] = []
    for frame, place in zip(frames, places, strict=True):
        turn = turns[place]
        turns[place] += 1
        if turn == len(groups):
            groups.append([])
        groups[turn].append(frame)
    return groups


def _candidates(frames: list[Frame]) -> Iterable[list[Value]]:
    """Yield, for each step that all frames state, its value per frame; at last what several dimensions say together."""
    present = set.intersection(*(set(frame.steps) for frame in frames))
    for name in STEP_NAMES:
        if name == "b_value" and any(name in frame.steps for frame in frames):
            yield [weighting(frame) for frame in frames]
            continue
        for key in sorted(key for key in present if key == name or key.startswith(f"{name} ")):
            yield [frame.steps[key] for frame in frames]
    dimensions = sorted(key for key in present if key.startswith("dimension "))
    if len(dimensions) > 1:
        yield [tuple(str(frame.steps[key]) for key in dimensions) for frame in frames]


def weighting(frame: Frame) -> Value:
    """Return b-value and direction; many scanners leave both out where there is no weighting."""
    return frame.steps.get("b_value", UNWEIGHTED)


def _side_by_side(frames: list[Frame]) -> list[list[Frame]]:
    """Split frames that share a plane but start at different places in it."""
    positions, normal = positions_of(frames)
    depth = positions @ normal
    across = positions - np.outer(depth, normal)
    order = np.lexsort((across[:, 0], across[:, 1], depth))
    shared = [
        abs(depth[a] - depth[b]) < SAME_POSITION_MM and np.abs(across[a] - across[b]).max() > 10 * SAME_POSITION_MM
        for a, b in pairwise(order)
    ]
    if not any(shared):
        return [frames]
    groups: dict[tuple[float, ...], list[Frame]] = defaultdict(list)
    for frame, place in zip(frames, np.round(across, 1), strict=True):
        groups[tuple(map(float, place))].append(frame)
    return list(groups.values())


def positions_of(frames: Sequence[Frame]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the (n, 3) LPS positions of frames with planes, and the (3,) normal of the first."""
    planes = [frame.plane for frame in frames if frame.plane is not None]
    return np.array([plane.position for plane in planes], dtype=np.float64), planes[0].normal


def _places(frames: list[Frame]) -> list[int]:
    """Return the number of each frame's position, counted along the normal."""
    positions, normal = positions_of(frames)
    depth = positions @ normal
    order = np.argsort(depth, kind="stable")
    jumps = np.diff(depth[order], prepend=depth[order[0]]) > SAME_POSITION_MM
    places = np.empty(len(frames), dtype=int)
    places[order] = np.cumsum(jumps)
    return [int(place) for place in places]


def _sorted(frames: list[Frame], places: list[int]) -> tuple[Frame, ...]:
    return tuple(frame for _, frame in sorted(zip(places, frames, strict=True), key=lambda entry: entry[0]))


def axis_of(volumes: Sequence[Sequence[Frame]]) -> tuple[str, dict[str, NDArray[np.float64]]]:
    """Return the name of the axis along which volumes follow one another, and what is known along it."""
    weighted = any("b_value" in frame.steps for volume in volumes for frame in volume)
    gradients = [{weighting(frame) for frame in volume} for volume in volumes] if weighted else []
    values = [next(iter(found)) for found in gradients if len(found) == 1]
    vectors = [value for value in values if isinstance(value, tuple)]
    if len(vectors) == len(volumes) and len(set(vectors)) > 1:
        table = np.array(vectors, dtype=np.float64)
        return "b_value", {"b_value": table[:, 0], "b_vector": table[:, 1:] * (-1, -1, 1)}
    for name, unit in SECONDS.items():
        starts = np.array([min(_number(frame, name) for frame in volume) for volume in volumes])
        if np.isfinite(starts).all() and (np.diff(starts) > 0).all():
            return "time", {"time": (starts - starts[0]) * unit}
    timed = len({frame.steps.get("time position") for volume in volumes for frame in volume}) == len(volumes)
    return ("time" if timed else "repeat"), {}


def _number(frame: Frame, name: str) -> float:
    value = frame.steps.get(name)
    return value if isinstance(value, float) else np.nan
