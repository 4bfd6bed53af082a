"""Tables of scores, sizes and costs."""
