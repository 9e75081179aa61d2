"""What of held-out slides is looked at, how, and what is found."""
