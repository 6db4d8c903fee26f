"""The T1w: where the head is, its tissue, its bias field and its way to the template."""
