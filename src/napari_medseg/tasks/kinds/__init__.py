"""One file per kind of task; each has a module-level `TASK`."""
