"""What families of tasks are made of."""
