"""Which of what a training has made the user sees, and keeps: the sketch, the network, or both together."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

RIPE = 0.35
"""Share of the sketch's score that a network must reach to have a say: before, its certainty is noise."""
AHEAD = 2.0
"""Standard errors that a network must be ahead to be shown alone; half of it is what chance may take from the blend."""
ALONE = 3000
"""Held-out voxels of the classes, at least, for a network to be shown alone."""
NETWORK_SHARE, NETWORK_TEMPERATURE = 0.35, 4.0
"""Of the network in the blend, and what its logits are divided by there: trained for minutes on a few strokes it is far
surer of itself than it should be, and is to decide only where the sketch is not sure."""

Winner = Literal["network", "blend", "sketch"]


def winner(sketch: float | None, network: float, blend: float, margin: float, alone: bool) -> Winner:
    """Return what to show and keep, by the scores on the held-out voxels.

    Held-out strokes are few, and many of them correct the sketch: they lie where it was wrong, and say nothing of
    places where nobody painted and a network that knows little errs most. The blend is mostly the sketch, and better
    where that is in doubt; so it is shown once the network knows something, unless it is behind by more than chance.
    The network is shown alone once it is clearly ahead of both on so many voxels that they are no corrections alone.

    Parameters
    ----------
    sketch : float or None
        Mean Dice of the pixel classifier; None if nothing is held out: then nobody knows, and the blend is what errs
        least whichever of the two is bad.
    network : float
        Of the network; -1 before its first score.
    blend : float
        Of the weighed mean of their probabilities; -1 before the network's first score.
    margin : float
        Dice that one has to be ahead to be clearly so.
    alone : bool
        Whether so much is held out that the network may be shown alone.

    Examples
    --------
    >>> winner(0.8, 0.88, 0.82, 0.05, True), winner(0.8, 0.88, 0.82, 0.05, False), winner(None, -1.0, -1.0, 0.05, False)
    ('network', 'blend', 'blend')
    >>> winner(0.8, 0.7, 0.78, 0.05, True), winner(0.8, 0.25, 0.8, 0.05, True), winner(0.8, 0.7, 0.77, 0.05, True)
    ('blend', 'sketch', 'sketch')
    """
    if sketch is None:
        return "blend"
    if alone and network > max(sketch, blend) + margin:
        return "network"
    return "blend" if network >= RIPE * sketch and blend >= sketch - margin / 2 else "sketch"


def blended(network: "torch.Tensor", sketch: "torch.Tensor") -> "torch.Tensor":
    """Return the (class, ...) probabilities of the blend, as its bundle gives them.

    Parameters
    ----------
    network : (class, ...) tensor
        Logits.
    sketch : (class, ...) tensor
        Probabilities.
    """
    return sketch.lerp((network.float() / NETWORK_TEMPERATURE).softmax(dim=0), NETWORK_SHARE)


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
