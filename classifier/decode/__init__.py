"""Hostile bytes in, pictures ready for a model out."""
