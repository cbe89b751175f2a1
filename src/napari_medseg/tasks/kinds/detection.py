"""Boxes: which anchors learn which box, and how far off they are; planes and volumes alike."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional

NOT = -1
"""Number of the box of an anchor that has none."""
NEVER = 1e9
BOX_WEIGHT = 2.0
"""Of the overlap's loss beside that of the classes."""
FEWEST = 16
"""Negative anchors of an image that count where hard ones are mined."""

Target = tuple[torch.Tensor, torch.Tensor]
"""(n, 2 * axes) starts and stops, and (n,) int64 class index."""


@dataclass(frozen=True)
class Detection:
    """How anchors learn."""

    matching: Literal["nearest", "atss"] = "nearest"
    """nearest: the anchors inside a box that are nearest to its middle. atss: of these, those that overlap it more than
    is usual among them (Zhang et al., 2020)."""
    candidates: int = 9
    """Anchors of each level that a box may have."""
    classes: Literal["quality", "focal", "hard_negatives"] = "quality"
    """quality: the score learns the overlap of the box that is found, hard anchors count more (Li et al., 2020). focal:
    hard anchors count more (Lin et al., 2017). hard_negatives: plain cross-entropy over the anchors with boxes and the
    hardest of the others."""
    negatives: int = 3
    """Hard anchors without a box for each with one."""

    def loss(
        self, logits: torch.Tensor, boxes: torch.Tensor, anchors: torch.Tensor, levels: tuple[int, ...],
        targets: list[Target],
    ) -> dict[str, torch.Tensor]:  # fmt: skip
        """Return the scalar losses of classes and of edges.

        Parameters
        ----------
        logits : (image, anchor, class) tensor
            The network's word on classes.
        boxes : (image, anchor, 2 * axes) tensor
            Its word on edges.
        anchors : (anchor, 2 * axes) tensor
            Edges of the anchors.
        levels : tuple of int
            Anchors of each level.
        targets : list of Target
            True boxes of each image.
        """
        wanted = torch.zeros_like(logits)
        found, truth, positive = [], [], torch.zeros(logits.shape[:2], dtype=torch.bool, device=logits.device)
        for image, (edges, labels) in enumerate(targets):
            number = self.matched(anchors, levels, edges)
            chosen = (number != NOT).nonzero()[:, 0]
            number = number[chosen]
            found.append(boxes[image, chosen])
            truth.append(edges[number])
            positive[image, chosen] = True
            with torch.no_grad():
                overlap = pairwise_iou(boxes[image, chosen], edges[number])
            wanted[image, chosen, labels[number]] = overlap if self.classes == "quality" else 1.0
        many = positive.sum().clamp(min=1)
        edges_loss = (1 - pairwise_giou(torch.cat(found), torch.cat(truth))).sum() / many
        return {"classes": self._class_loss(logits, wanted, positive) / many, "edges": BOX_WEIGHT * edges_loss}

    def _class_loss(self, logits: torch.Tensor, wanted: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
        plain = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        if self.classes == "hard_negatives":
            return sum((self._hard(loss, one) for loss, one in zip(plain, positive, strict=True)), plain.new_zeros(()))
        off = (logits.sigmoid() - wanted).abs()
        if self.classes == "quality":
            return (plain * off.square()).sum()
        share = 0.25 * wanted + 0.75 * (1 - wanted)
        return (share * plain * off.square()).sum()

    def _hard(self, loss: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
        others = loss[~positive].sum(dim=1)
        many = min(len(others), max(FEWEST, self.negatives * int(positive.sum())))
        return loss[positive].sum() + others.topk(many).values.sum()

    @torch.no_grad()
    def matched(self, anchors: torch.Tensor, levels: tuple[int, ...], edges: torch.Tensor) -> torch.Tensor:
        """Return the number of the box that each anchor learns, (anchor,), or `NOT`.

        Each box has one anchor at least, unless a smaller one has the same.

        Parameters
        ----------
        anchors : (anchor, 2 * axes) tensor
            Edges of the anchors.
        levels : tuple of int
            Anchors of each level.
        edges : (n, 2 * axes) tensor
            True boxes.
        """
        if not len(edges):
            return torch.full((len(anchors),), NOT, device=anchors.device)
        axes = edges.shape[1] // 2
        places, middles = (anchors[:, :axes] + anchors[:, axes:]) / 2, (edges[:, :axes] + edges[:, axes:]) / 2
        away = places[:, None] - middles[None]
        distance = away.norm(dim=2)
        half = ((edges[:, axes:] - edges[:, :axes]) / 2).clamp(min=1e-6)
        inside = ((away / half[None]).abs() < 1).all(dim=2)
        candidate = torch.zeros_like(inside)
        overlap = iou_table(anchors, edges)
        first = 0
        for many in levels:
            part = slice(first, first + many)
            # Anchors at the same place: the one that fits better is nearer.
            rank = distance[part] - overlap[part]
            nearest = rank.topk(min(self.candidates, many), dim=0, largest=False).indices
            candidate[part].scatter_(0, nearest, True)
            first += many
        if self.matching == "atss":
            kept = torch.where(candidate, overlap, torch.nan)
            mean = kept.nanmean(dim=0)
            deviation = (kept - mean).square().nanmean(dim=0).sqrt()
            candidate &= overlap >= mean + deviation
        candidate &= inside
        candidate.scatter_(0, (distance - overlap).argmin(dim=0, keepdim=True), True)
        cost = torch.where(candidate, (away / half[None]).norm(dim=2), NEVER)
        least, number = cost.min(dim=1)
        return torch.where(least < NEVER, number, NOT)


TASK = Detection()


def volumes(edges: torch.Tensor) -> torch.Tensor:
    """Return the areas or volumes of (..., 2 * axes) boxes; 0 for boxes that end before they start."""
    axes = edges.shape[-1] // 2
    return (edges[..., axes:] - edges[..., :axes]).clamp(min=0).prod(dim=-1)


def iou_table(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the (n, m) overlap over union of (n, 2 * axes) and (m, 2 * axes) boxes."""
    axes = one.shape[1] // 2
    low = torch.maximum(one[:, None, :axes], other[None, :, :axes])
    high = torch.minimum(one[:, None, axes:], other[None, :, axes:])
    common = (high - low).clamp(min=0).prod(dim=2)
    return common / (volumes(one)[:, None] + volumes(other)[None] - common).clamp(min=1e-6)


def pairwise_iou(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the (n,) overlap over union of each (n, 2 * axes) box with the one of the same number."""
    common, union, _hull = _pairs(one, other)
    return common / union


def pairwise_giou(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the (n,) generalised overlap of each box with the one of the same number, in [-1, 1] (Rezatofighi, 2019).

    Examples
    --------
    >>> pairwise_giou(torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[0.0, 2, 1, 3]]))
    tensor([-0.3333])
    """
    common, union, hull = _pairs(one, other)
    return common / union - (hull - union) / hull


def _pairs(one: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    axes = one.shape[1] // 2
    low, high = torch.maximum(one[:, :axes], other[:, :axes]), torch.minimum(one[:, axes:], other[:, axes:])
    common = (high - low).clamp(min=0).prod(dim=1)
    union = (volumes(one) + volumes(other) - common).clamp(min=1e-6)
    hull = torch.maximum(one[:, axes:], other[:, axes:]) - torch.minimum(one[:, :axes], other[:, :axes])
    return common, union, hull.prod(dim=1).clamp(min=1e-6)
