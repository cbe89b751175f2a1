"""The exceptions that napari-medseg raises for things a user can do something about.

Each error says what went wrong (with the value) and what to do, as two separate sentences, so that the
panel, the command line and a notebook show the same words.
"""


class MedsegError(Exception):
    """Base of all errors of this package.

    Parameters
    ----------
    problem : str
        What is wrong, with the name of the thing and the value that was found.
    remedy : str
        What the user can do about it.

    Examples
    --------
    >>> error = ReadError("scan.nii.gz ends after 120 of 7109137 bytes.", "Copy the file again.")
    >>> str(error)
    'scan.nii.gz ends after 120 of 7109137 bytes. Copy the file again.'
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}".strip()


class ReadError(MedsegError):
    """A file or folder could not be read as an image."""


class WriteError(MedsegError):
    """A file could not be written, or what was written is not what was meant."""


class GeometryError(MedsegError):
    """Two grids do not fit, or a grid is not a regular one."""


class BundleError(MedsegError):
    """A model folder is incomplete, damaged, of a foreign kind, or does not fit the image."""


class TrustError(BundleError):
    """A model is a program, and the user has not said yet that it may run.

    Parameters
    ----------
    problem, remedy : str
        As for every error.
    digest : str
        What the user's trust would belong to: SHA-256 of all that the model consists of.
    name : str
        Of the model.
    """

    def __init__(self, problem: str, remedy: str = "", digest: str = "", name: str = "") -> None:
        super().__init__(problem, remedy)
        self.digest = digest
        self.name = name


class LicenceError(BundleError):
    """A model is there to be fetched, and the user has not agreed yet to its licence.

    Parameters
    ----------
    problem, remedy : str
        As for every error.
    terms : str
        What the user should read.
    token : str
        What to give back once the user agrees: the checksum of what would be fetched.
    """

    def __init__(self, problem: str, remedy: str = "", terms: str = "", token: str = "") -> None:
        super().__init__(problem, remedy)
        self.terms = terms
        self.token = token


class ConfigError(MedsegError):
    """A setting has a value that cannot be used."""


class DataError(MedsegError):
    """The labelled samples cannot be trained on or scored."""


class DeviceError(MedsegError):
    """The computing device that was asked for is absent or out of memory."""


class JobError(MedsegError):
    """A job failed in the worker."""


class WorkerLostError(JobError):
    """The worker process died while it ran a job."""


class Cancelled(MedsegError):  # noqa: N818 - a request that was obeyed, not a failure
    """The user asked a job to stop."""

    def __init__(self, problem: str = "Stopped on request.", remedy: str = "") -> None:
        super().__init__(problem, remedy)
