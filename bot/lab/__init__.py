"""`lab`: many architectures and options, several seeds each, on one task that is drawn; and what came of it.

plan.py      what is compared, read from TOML
data.py      draws the task, and makes a dataset of it like of any other
training.py  all runs, side by side
proofs.py    what the laboratory must find: a planted leak, planted wrong labels
page.py      the page
making.py    all of it, in order
"""
