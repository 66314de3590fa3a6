"""From reviewed uploads to a candidate: export, training from the deployed weights, evaluation, registry.

`run.py` is the whole of it, stage after stage; each of the others is one stage.
"""
