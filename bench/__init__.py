"""Speed, as ratios to yardsticks measured in the same run (machines are noisy)."""
