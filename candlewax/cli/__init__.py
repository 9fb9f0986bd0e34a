"""The commands that take more than a line or two: one module each."""
