"""Projects in the viewer: the labels of its layers kept on disk while the user paints, and brought back."""
