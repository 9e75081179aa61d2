"""How good: predictions against truth."""
