"""The settings of a run, and how Hydra composes them."""
