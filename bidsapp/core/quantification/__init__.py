"""From an image in template space to a Centiloid and what is known of its error."""
