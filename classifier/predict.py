"""The door to scoring: name a model, get a `Classifier`. Importing this imports no model library."""
