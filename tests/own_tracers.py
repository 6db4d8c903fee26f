"""A tracer file as a lab writes it, of two tracers that the package does not have."""

OWN_TRACERS = """
[tracers.QZ41]
name = "[18F]qualizetaben"
synonyms = ["QZ-041"]
radionuclide = "F18"
window_min = [60, 80]
[tracers.FC119S]
name = "[18F]FC119S"
synonyms = []
radionuclide = "F18"
window_min = [30, 60]
"""
