"""Networks that say of a whole patch which classes it shows."""
