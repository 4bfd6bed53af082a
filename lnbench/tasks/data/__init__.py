"""Where data comes from, how it is read, cut and kept."""
