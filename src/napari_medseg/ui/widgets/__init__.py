"""The dock widgets, and the parts they are made of."""
