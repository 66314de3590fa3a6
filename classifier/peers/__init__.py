"""Other people's models behind this project's `Classifier`, to compare with and to choose from.

`door` is the way in. Nothing of theirs is executed: weights are read, networks are rebuilt by our own code.
"""
