"""What a face is: the linear model and its file formats."""
