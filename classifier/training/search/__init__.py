"""Searching for settings: which keys of a configuration, between which values, and what came out.

space      the search's own configuration, checked before anything starts; no Optuna, no torch
samplers   what to try next, and what to give up early, by name
study      the trials in SQLite: several processes share them, and whatever is killed is tried again
trials     one trial is one run folder
processes  one search from start to end, in one process or several
outcome    what a study says, as plain values; report and drawings show it
"""
