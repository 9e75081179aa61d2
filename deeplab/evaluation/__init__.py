"""How good: predictions against truth. NumPy in, numbers out."""
