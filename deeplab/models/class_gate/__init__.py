"""A network that labels pixels, and a classifier that says which classes a patch may have."""
