"""The feedback as datasets that other programs read: one file for each format, one for each stage."""
