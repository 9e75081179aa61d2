"""Talk to a Girder server: session, items, tiles, annotations, with retries and limits."""
