"""What talks to Wikimedia: the daemon, its stages and its commands."""

__version__ = "0.1.0"
