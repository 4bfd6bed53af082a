"""Building blocks of tuning methods."""
