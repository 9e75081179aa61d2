"""Files of annotations onto the slides of a server."""
