"""Networks. A batch of RGB tiles in, named maps out."""
