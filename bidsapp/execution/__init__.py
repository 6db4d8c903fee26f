"""How a graph of steps is run: processes, batch systems, and what of nipype is overridden."""
