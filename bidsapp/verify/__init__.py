"""Check that a finished dataset is unchanged: hashes of files, numbers from the images."""
