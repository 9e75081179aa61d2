"""The formats of files of annotations: a module each, and what they share."""
