"""Collect labelled pictures from categories of the wiki, politely and so that a kill costs nothing.

What is decided (which categories, which files, which of them stay out) is pure; asking and fetching go
through the daemon's own client, locator and downloader. Everything known is on the disk before it counts.
"""
