"""A network for inference made of an ExportedProgram. Imports torch."""

import torch
from torch import nn
from torch.export import ExportedProgram


class Exported(nn.Module):
    """Runs an exported program on batches of any size.

    Parameters
    ----------
    program : torch.export.ExportedProgram
        With one input, the (batch, channel, ...) image. A program that was exported for one batch size is run as often
        as needed.
    """

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__()
        self.network = program.module()
        shape = _input_shape(program)
        self._fixed = shape[0] if shape and isinstance(shape[0], int) else None
        # The device is found by a network's parameters, which a program need not have.
        self.place = nn.Parameter(torch.zeros(1), requires_grad=False)

    def train(self, mode: bool = True) -> "Exported":
        """Keep the program as it is: it was exported for one mode, which cannot be changed."""
        del mode
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        if self._fixed is None or len(images) == self._fixed:
            return torch.as_tensor(self.network(images))
        found = []
        for start in range(0, len(images), self._fixed):
            part = images[start : start + self._fixed]
            lacking = self._fixed - len(part)
            full = torch.cat([part, part[-1:].expand(lacking, *part.shape[1:])]) if lacking else part
            found.append(torch.as_tensor(self.network(full))[: len(part)])
        return torch.cat(found)


def _input_shape(program: ExportedProgram) -> tuple[object, ...]:
    names = set(program.graph_signature.user_inputs)
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in names:
            return tuple(node.meta["val"].shape)
    return ()
