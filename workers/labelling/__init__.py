"""What units answer to, in words: pure tensor code; no database, no queue."""
