"""A box to choose the computing device, filled with what the worker process finds on this machine."""

import re
from typing import cast

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox, QSizePolicy, QWidget

from napari_medseg.device import DeviceInfo
from napari_medseg.jobs import Job, StateChanged, Work, local_engine
from napari_medseg.progress import Event
from napari_medseg.ui.settings import choose_device, chosen_device
from napari_medseg.ui.widgets.job_relay import JobRelay

AUTO = "auto"


class DeviceChoice(QComboBox):
    """“Automatic” names the device that it means, once the worker has said which there are.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._job: Job | None = None
        self._relay = JobRelay()
        self._relay.arrived.connect(self._on_event)
        self._fill(())
        self.activated.connect(self._on_activated)

    @property
    def device(self) -> str:
        """The name of the chosen device, such as ``"auto"`` or ``"cuda:0"``."""
        return cast("str", self.currentData())

    def ask(self) -> None:
        """Ask the worker, in the background, which devices there are."""
        self._job = local_engine().submit(Work("napari_medseg.device:describe_job", exclusive=False))
        self._job.on(self._relay.tell)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, StateChanged) and event.state == "finished" and self._job is not None:
            self._fill(cast("tuple[DeviceInfo, ...]", self._job.result))

    def _fill(self, found: tuple[DeviceInfo, ...]) -> None:
        wanted = chosen_device()
        with QSignalBlocker(self):
            self.clear()
            best = f"The best of those below: {found[0]}" if found else "The best that there is"
            self._add(f"Automatic: {short_name(found[0].name)}" if found else "Automatic", AUTO, best)
            for info in found:
                # the settings call the first GPU just "cuda"
                self._add(f"{info.id}: {short_name(info.name)}", info.id.removesuffix(":0"), str(info))
            if self.findData(wanted) < 0:
                # kept, for it may be on another machine's settings or come back with a driver
                self._add(f"{wanted} (not found)" if found else wanted, wanted, "Chosen in the settings")
            self.setCurrentIndex(self.findData(wanted))
        self._explain()

    def _add(self, words: str, device: str, tooltip: str) -> None:
        self.addItem(words, device)
        self.setItemData(self.count() - 1, tooltip, Qt.ItemDataRole.ToolTipRole)

    def _explain(self) -> None:
        """Say in full what is chosen; the box may be too narrow for it."""
        self.setToolTip(f"Where networks run. {self.currentData(Qt.ItemDataRole.ToolTipRole)}")

    def _on_activated(self, _index: int) -> None:
        choose_device(self.device)
        self._explain()


def short_name(name: str) -> str:
    """Return a device's name without what makers put around it.

    Examples
    --------
    >>> short_name("Intel(R) Xeon(R) Platinum 8370C CPU @ 2.80GHz"), short_name("NVIDIA H100 80GB HBM3")
    ('Xeon Platinum 8370C', 'H100 80GB HBM3')
    >>> short_name("AMD EPYC 7763 64-Core Processor"), short_name("Intel(R) Xeon(R) Processor @ 2.60GHz")
    ('EPYC 7763', 'Xeon')
    """
    kept = re.sub(r"\((R|TM|r|tm)\)|@.*|\b\d+-Core\b|\b(CPU|Processor)\b|^(Intel|AMD|NVIDIA)\b", " ", name)
    return " ".join(kept.split()) or name
