"""A report at Weights & Biases: the same tables and verdicts, and plots of the runs that are there."""
