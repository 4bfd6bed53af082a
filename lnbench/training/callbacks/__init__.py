"""What is measured, shown and saved while a model trains."""
