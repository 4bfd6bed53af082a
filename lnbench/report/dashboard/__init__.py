"""A report at Weights & Biases, with the same tables and verdicts, and with plots of the runs that are there."""
