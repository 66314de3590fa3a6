"""The libraries that can run a model, what they need on disk, and how the fastest honest one is found."""
