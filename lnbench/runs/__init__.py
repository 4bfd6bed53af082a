"""`python -m lnbench.runs`: what runs there are, which are missing, and the removal of some."""
