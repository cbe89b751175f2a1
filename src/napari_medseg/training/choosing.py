"""Which of what a training has made the user sees, and keeps: the sketch, the network, or both together."""

from typing import Literal

RIPE = 0.75
"""Share of the sketch's score that a network must reach to have a say: before, its certainty is noise."""
AHEAD = 2.0
"""Standard errors of the sketch's score that another must be ahead of it."""

Winner = Literal["network", "blend", "sketch"]


def winner(sketch: float | None, network: float, blend: float, margin: float) -> Winner:
    """Return what to show and keep, by the scores on the held-out voxels.

    Held-out strokes are few, and many of them correct the sketch: they lie where it was wrong, and say nothing of
    places where nobody painted and a network that knows little errs most. So the sketch stays until something else is
    clearly ahead of it. Of both others the blend is taken unless the network is as clearly ahead of it too, as its
    errors are fewer where nothing was held out; but not while the network is far from the sketch.

    Parameters
    ----------
    sketch : float or None
        Mean Dice of the pixel classifier; None if nothing is held out: then nobody knows, and the blend is what errs
        least whichever of the two is bad.
    network : float
        Of the network; -1 before its first score.
    blend : float
        Of the mean of their probabilities; -1 before the network's first score.
    margin : float
        Dice that one has to be ahead to be clearly so.

    Examples
    --------
    >>> winner(0.8, 0.7, 0.86, 0.05), winner(0.8, 0.88, -1.0, 0.05), winner(None, -1.0, -1.0, 0.05)
    ('blend', 'network', 'blend')
    >>> winner(0.8, 0.7, 0.82, 0.05), winner(0.8, 0.89, 0.87, 0.05), winner(0.8, 0.3, 0.9, 0.05)
    ('sketch', 'blend', 'sketch')
    """
    if sketch is None:
        return "blend"
    if network > max(sketch, blend) + margin:
        return "network"
    return "blend" if max(network, blend) > sketch + margin and network >= RIPE * sketch else "sketch"


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
