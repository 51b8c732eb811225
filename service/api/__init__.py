"""HTTP: parse, call a query, render."""
