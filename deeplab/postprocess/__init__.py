"""Clean a map and split it into objects. NumPy in, NumPy out."""
