"""Where networks come from: one file a source behind one small interface."""
