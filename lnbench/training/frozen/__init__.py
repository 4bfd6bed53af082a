"""What stays as it was pretrained: rounded once, and computed once a row where nothing below is trained."""
