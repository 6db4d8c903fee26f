"""Input and output of images, tables and texts; files are written atomically."""
