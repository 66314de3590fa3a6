"""The store: the one place that speaks SQL. Values go in and come out, rows never do."""
