"""Bytes in, scores out; knows nothing of Wikimedia."""
