"""A classification's training: what a step learns from, and how it is scored."""

from collections.abc import Generator

import torch

from napari_medseg.data.labelled.answers import Classified, rows_of, write_rows
from napari_medseg.inference.classify import probabilities
from napari_medseg.progress import Event
from napari_medseg.tasks.kinds.classification import Classification, balanced_weights, presence_weights
from napari_medseg.training.classification.images import Material, Stack
from napari_medseg.training.classification.learner import ClassifierLearner
from napari_medseg.training.classification.run import HELD_OUT, ClassificationRun
from napari_medseg.training.classification.scoring import fitted_temperature, scores_of, validation_logits
from napari_medseg.training.classification.stages import free_stages
from napari_medseg.training.run import RunFolder
from napari_medseg.training.scored.session import ScoredSession


class Session(ScoredSession):
    """A run at work.

    Parameters
    ----------
    folder : RunFolder
        Of the run.
    run : ClassificationRun
        Its configuration.
    material : Material
        The images.
    learner : ClassifierLearner
        The network.
    """

    run: ClassificationRun
    learner: ClassifierLearner
    sample, judges_all = 64, True

    def __init__(
        self, folder: RunFolder, run: ClassificationRun, material: Material, learner: ClassifierLearner
    ) -> None:
        images, held = len(material.train), len(material.val)
        super().__init__(folder, run, learner, (images, held), min(run.train.batch_size, images))
        self.material = material

    @property
    def free(self) -> int:
        """How many stages of the network learn now, counted from the last layer on."""
        done = self.state.step / (self.state.planned or self.most)
        return free_stages(self.run.train.freeze, len(self.learner.stages), done)

    def _learn(self, rate: float) -> torch.Tensor:
        config, unlabelled = self.run.train, self.material.unlabelled
        batch, extra = self.material.train.chosen(self.batch_numbers()), None
        if unlabelled is not None and config.unlabelled_weight:
            extra = unlabelled[self.batch_numbers(len(unlabelled))]
        return self.learner.step(batch, rate, self.state.step, self.free, extra)

    def _scores(self, images: list[int]) -> Generator[Event, None, dict[str, float]]:
        stack = self.material.val.chosen(images)
        yield from ()
        return scores_of(self._logits(stack, self.run.train.precision), stack.targets, self.run.spec.output)

    def _judge(self, scores: dict[str, float]) -> float:
        # Among equal rankings the surer one is better.
        return scores["auc"] - 1e-3 * min(scores["cross_entropy"], 10.0)

    def _logits(self, stack: Stack, precision: str) -> torch.Tensor:
        return validation_logits(self.learner.mean, stack, self.run.spec, self.learner.device, precision)

    def _learnt(self) -> dict[str, object]:
        """Return temperature and images; write what the model says of those to score on, beside what they are."""
        spec, val, held = self.run.spec, self.material.val, self.material.held
        logits = self._logits(val, "float32")
        temperature = fitted_temperature(logits, val.targets, spec.output)
        if held is not None:
            found = Classified(held.pictures.names, probabilities(logits, temperature, spec.output))
            first, *rows = rows_of(found, spec)
            lines = [[row[0], word, *row[1:]] for row, word in zip(rows, held.words, strict=True)]
            write_rows([[first[0], "label", *first[1:]], *lines], self.folder.path / HELD_OUT)
        return {"temperature": temperature, "training_data": self.material.sums}


def task_of(run: ClassificationRun, targets: torch.Tensor) -> Classification:
    """Return the loss of a run; `targets` are those of the images to train on."""
    config, output = run.train, run.spec.output
    counts = [int(count) for count in targets.sum(dim=0).tolist()]
    weights = None
    if config.class_weights == "balanced":
        weights = presence_weights(counts, len(targets)) if output == "several" else balanced_weights(counts)
    return Classification(weights, config.label_smoothing, config.focal, output)
