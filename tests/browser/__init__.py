"""The user script in a real browser, on a real MediaWiki."""
