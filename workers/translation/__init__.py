"""Translation through shared units: inversion, edits, interventions, directions. No database, no queue."""
