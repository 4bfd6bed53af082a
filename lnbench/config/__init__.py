"""What may be said: the settings of a run, and how they are composed."""
