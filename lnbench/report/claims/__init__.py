"""Claims, the comparisons in them, and verdicts on them from the runs."""
