"""The laboratory: making training and test material, training, and measuring."""
