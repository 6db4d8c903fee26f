"""Files: images, tables and texts in and out, whole or not at all."""
