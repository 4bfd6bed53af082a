"""What is where in a transformer, found by what its parts compute."""
