"""Labelled pictures: where they come from, whether they are sound, and how they are divided.

Nothing here needs torch. Parquet and perceptual hashes need the extra `train` and are loaded when asked for.
"""
