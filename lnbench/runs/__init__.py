"""`python -m lnbench.runs` lists runs, finds missing ones, and deletes runs."""
