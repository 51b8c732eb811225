"""The local stack: which processes it has, how they are watched, and how others find them."""
