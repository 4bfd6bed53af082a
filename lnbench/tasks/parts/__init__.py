"""Building blocks of task families."""
