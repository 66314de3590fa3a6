"""A miniature Wikimedia Commons on loopback: stream, API and media, with a corpus and faults on demand.

For `make demo`, the benchmarks and the integration tests: the bot talks to it exactly as to the real one.
"""
