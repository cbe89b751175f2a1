"""Families of networks, one file each: options and definition side by side."""
