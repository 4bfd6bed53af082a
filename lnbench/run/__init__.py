"""What happens to one run, from the lock to the record."""
