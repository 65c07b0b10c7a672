"""Priors, one a file: what clean photographs look like, told by a denoiser."""
