"""Training of the embedded prior: `python -m gdpkit.training PHOTOS -o my-prior.safetensors` (see docs/prior.md)."""
