"""What tuning methods are made of."""
