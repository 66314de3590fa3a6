"""The numbers in the README: speed and memory, measured by `make bench` and never by the tests."""
