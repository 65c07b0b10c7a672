"""Degradation models, one a file."""
