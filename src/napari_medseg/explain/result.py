"""What comes out of an explanation. Importing this loads no torch."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from napari_medseg.volume import Volume

Verdict = Literal["passed", "unclear", "failed"]
LITTLE = 0.8
"""Share of the probability that is left without the image, above which deletion and insertion say little."""
ALIKE, DIFFERENT = 0.8, 0.5
"""Above the first, similarity means that a map hardly depends on the weights; below the second, that it does."""
WORDS: dict[Verdict, str] = {
    "passed": "Passed: with random weights the map is another one, so it depends on what the model has learnt.",
    "unclear": "Unclear: with random weights the map is partly the same; read it with care.",
    "failed": "Failed: with random weights the map is nearly the same, so it shows the image more than the model.",
}


@dataclass(frozen=True)
class Stage:
    """How much the map stays the same when some of the weights are random; the mean over draws."""

    layers: str
    """Which weights are random: ``"all"``, or down to which layer, from the last."""
    rank_correlation: float
    """Spearman's, of the maps' values; 0 for a map without variation."""
    rank_correlation_abs: float
    """Of their magnitudes."""
    ssim: float | None
    """Structural similarity of the maps, each scaled by its largest magnitude; None for maps that are too small."""

    @property
    def similarity(self) -> float:
        """The largest of the three, 1 for the same map."""
        return max(abs(self.rank_correlation), abs(self.rank_correlation_abs), self.ssim or 0.0)


@dataclass(frozen=True)
class Sanity:
    """What became of the map with random weights."""

    stages: tuple[Stage, ...]
    """One, or those of a cascade; in the last all weights are random."""
    draws: int
    verdict: Verdict

    @property
    def words(self) -> str:
        """The verdict as a sentence."""
        return WORDS[self.verdict]


@dataclass(frozen=True)
class Curve:
    """Probability of the class while voxels are deleted or inserted, the most important first."""

    probabilities: tuple[float, ...]
    """From none to all, in equal steps."""
    area: float
    """Under the curve, over its length: the mean probability. Small is good for deletion, large for insertion."""
    by_chance: float
    """The same where blocks come in an order drawn at random."""


@dataclass(frozen=True)
class Curves:
    """How the probability of the class follows the map."""

    deletion: Curve
    """From the image to the baseline."""
    insertion: Curve
    """From the baseline to the image."""
    baseline: str
    """What was deleted to and inserted into."""


@dataclass(frozen=True)
class Scores:
    """What is known of a map beside its values."""

    method: str
    """Title of the method."""
    target: str
    """Name of the class."""
    model: str
    model_hash: str
    """SHA-256 of the model's weights and specification."""
    signed: bool
    """Whether negative values speak against the class."""
    score: float
    """What is explained: the class's logit, or its mean over the region."""
    probability: float
    """Of the class, or its mean over the region."""
    baseline_score: float
    """The score of the baseline."""
    total: float
    """Sum of the map on the network's grid; integrated gradients should give `score` less `baseline_score`."""
    layer: str | None
    """That was looked into, by its name in the network; None for methods that need none."""
    sanity: Sanity | None
    """Whether the map depends on the weights; None if that was not wanted."""
    curves: Curves | None
    """Whether the probability follows the map; None if that was not wanted."""
    options: dict[str, Any]
    """The options, and the device that it ran on, as JSON values."""
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        values = asdict(self)
        if self.sanity is not None:
            values["sanity"]["words"] = self.sanity.words
        return values

    def lines(self) -> tuple[str, ...]:
        """Return what is to be said of the map, a line each."""
        found = [f"{self.target}: probability {self.probability:.3f}, score {self.score:.3g}"]
        if self.sanity is not None:
            last = self.sanity.stages[-1]
            alike = "" if last.ssim is None else f", SSIM {last.ssim:.2f}"
            found.append(f"{self.sanity.words} Rank correlation {last.rank_correlation:.2f}{alike}.")
        if self.curves is not None:
            deletion, insertion = self.curves.deletion, self.curves.insertion
            found.append(
                f"Deletion {deletion.area:.3f} (by chance {deletion.by_chance:.3f}, small is good), "
                f"insertion {insertion.area:.3f} (by chance {insertion.by_chance:.3f}, large is good); "
                f"baseline: {self.curves.baseline}."
            )
            left = deletion.probabilities[-1]
            if left > LITTLE * self.probability:
                found.append(f"The baseline alone has probability {left:.3f} already, so these two areas say little.")
        return tuple(found)


@dataclass(frozen=True, eq=False)
class Explanation:
    """A map on the image's own grid, and what is known of it."""

    map: Volume
    """([map,] [z,] y, x) float32; the window is symmetric around zero if the map is signed."""
    scores: Scores


@dataclass(frozen=True)
class ExplanationFiles:
    """Where an explanation was written, and what is known of it."""

    map: Path
    window: tuple[float, float]
    """Of the map, for display."""
    scores: Scores
