"""Which bytes to fetch for an upload, and fetching them within the limits."""
