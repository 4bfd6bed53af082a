"""The frozen part of a model: weights rounded once, and lower layers that are computed once for each row."""
