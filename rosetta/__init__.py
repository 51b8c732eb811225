"""Ask what neural networks have in common."""
