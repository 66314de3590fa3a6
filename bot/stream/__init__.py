"""The upload stream: EventStreams followed without a loss, and the upload log for what it cannot replay."""
