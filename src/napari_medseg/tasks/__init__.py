"""What a model is trained for, one file per kind of task in `napari_medseg.tasks.kinds`."""

from napari_medseg.tasks.protocol import UNLABELLED, Task, task_named

__all__ = ["UNLABELLED", "Task", "task_named"]
