"""Slides with what is drawn on them, in folders and on a Girder server: found, read, put back."""
