"""Claims, the comparisons that they make, and what the runs say of them."""
