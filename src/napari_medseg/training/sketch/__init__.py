"""Learning a pixel classifier in a second: a random forest on the strokes teaches a small network."""
