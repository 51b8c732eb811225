"""The mining side: torch lives here and nowhere else."""
