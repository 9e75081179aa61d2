"""A slide and a bundle in, annotations out."""
