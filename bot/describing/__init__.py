"""What the wiki says of files: licence, author, hash. Collecting and the export ask for it alike."""
