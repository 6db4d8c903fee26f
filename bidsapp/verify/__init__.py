"""Is a finished dataset still what was computed? Hashes of every file, numbers from the images."""
