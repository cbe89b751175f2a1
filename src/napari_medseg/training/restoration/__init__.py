"""Networks that give images: finer ones (super-resolution) or cleaner ones (enhancement).

Both learn from pairs that are made of the images themselves, so nobody labels anything.
"""
