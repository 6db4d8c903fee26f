"""How a graph of steps is run: processes, batch systems, and overrides of nipype."""
