"""tryton."""
