"""Pictures: canonical probe images, activation maps as heat maps, and the files they are kept in. Pillow and numpy."""
