"""Training of priors: what `gdpkit prior train` does (docs/prior.md)."""
