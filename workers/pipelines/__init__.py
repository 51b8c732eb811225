"""One file a kind of job: the only place where engine and database meet."""
