"""Which of what a training has made the user sees, and keeps: the sketch, the network, or both together."""

from typing import Literal

RIPE = 0.75
"""Share of the sketch's score that a network must reach to have a say: before, its certainty is noise."""

Winner = Literal["network", "blend", "sketch"]


def winner(sketch: float | None, network: float, blend: float) -> Winner:
    """Return what scored highest on the held-out voxels.

    Of equals the blend, as its errors are fewer where nothing was held out; but not where only the sketch equals it,
    since the network then added nothing, nor while the network is far from the sketch.

    Parameters
    ----------
    sketch : float or None
        Mean Dice of the pixel classifier; None if nothing is held out: then nobody knows, and the blend is what errs
        least whichever of the two is bad.
    network : float
        Of the network; -1 before its first score.
    blend : float
        Of the mean of their probabilities; -1 before the network's first score.

    Examples
    --------
    >>> winner(0.8, 0.7, 0.82), winner(0.8, 0.8, -1.0), winner(None, -1.0, -1.0)
    ('blend', 'network', 'blend')
    >>> winner(0.7, 0.8, 0.8), winner(0.8, 0.7, 0.8), winner(0.8, 0.3, 0.81)
    ('blend', 'sketch', 'sketch')
    """
    if sketch is None:
        return "blend"
    if blend >= max(sketch, network) and network >= RIPE * sketch:
        return "sketch" if blend == sketch > network else "blend"
    return "network" if network >= sketch else "sketch"


def reason(chosen: Winner, sketch: float | None, network: float, blend: float) -> str:
    """Return which model is shown and why, in a line.

    Examples
    --------
    >>> reason("blend", 0.8, 0.7, 0.82)
    'network and sketch together: Dice 0.82 where strokes were held out, network 0.70, sketch 0.80'
    >>> reason("blend", None, -1.0, -1.0)
    'network and sketch together: too little is painted to tell which is better'
    """
    names: dict[Winner, str] = {"network": "network", "sketch": "sketch", "blend": "network and sketch together"}
    if sketch is None:
        return names[chosen] + (": too little is painted to tell which is better" if chosen == "blend" else "")
    scores: dict[Winner, float] = {"network": max(network, 0.0), "sketch": sketch, "blend": blend}
    singles: tuple[Winner, ...] = ("network", "sketch")
    others = ", ".join(f"{name} {scores[name]:.2f}" for name in singles if name != chosen)
    return f"{names[chosen]}: Dice {scores[chosen]:.2f} where strokes were held out, {others}"
