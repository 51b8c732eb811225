"""Templates of the landing page."""
