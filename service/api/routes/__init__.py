"""Routes: parse, call a query, render."""
