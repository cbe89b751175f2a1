"""Projects: a folder that holds cases with their labels, what was trained on them, and notes."""

from napari_medseg.project.content import CaseEntry, ImageReference, ProjectContent
from napari_medseg.project.folder import Project, is_project
from napari_medseg.project.lock import FolderLock, Holder

__all__ = ["CaseEntry", "FolderLock", "Holder", "ImageReference", "Project", "ProjectContent", "is_project"]
