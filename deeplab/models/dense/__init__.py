"""What networks that label every pixel share: their losses, and labels out of their logits."""
