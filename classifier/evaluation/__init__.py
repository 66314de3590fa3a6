"""Honest measuring: from scores and truths to figures with intervals, reports and model cards; no torch."""
