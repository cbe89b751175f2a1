"""The project that a window has open."""

import atexit

from napari_medseg.project import Project, sessions


class Holding:
    """The open project; apart from the keeper, which is gone when the project has to be closed."""

    def __init__(self) -> None:
        self.project: Project | None = None
        # A program may end without destroying its windows.
        atexit.register(self.release)

    def end(self, _keeper: object = None) -> None:
        """Close the project for good."""
        atexit.unregister(self.release)
        self.release()

    def release(self) -> None:
        """Close the project; a session in which nothing was saved is deleted."""
        project, self.project = self.project, None
        if project is not None:
            project.close()
            if not sessions.is_session(project):
                sessions.note_closed(project.folder)
            elif not project.content.cases:
                sessions.remove(project.folder)
