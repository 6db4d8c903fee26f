"""From an image in template space to a Centiloid and its error."""
