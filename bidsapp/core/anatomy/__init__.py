"""The T1w: position of the head, tissue, bias field and normalisation to the template."""
