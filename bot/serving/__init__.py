"""What `python -m bot serve` is put together from: the service, and whom it lets in, and what it fetches."""
