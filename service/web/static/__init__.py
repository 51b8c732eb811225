"""The style sheet and the scripts of the pages."""
