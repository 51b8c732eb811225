"""The query side: store, jobs, queries, HTTP. It never imports torch."""
