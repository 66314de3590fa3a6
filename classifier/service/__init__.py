"""The prediction API: files in over HTTP, scores out; nothing of Wikimedia, settings or a store."""
