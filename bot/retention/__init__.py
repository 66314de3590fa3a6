"""Reduced copies of pictures that people are asked about: kept for a while, and no longer."""
