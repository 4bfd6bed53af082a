"""One pass over a backbone that trains several runs."""
