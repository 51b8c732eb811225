"""What a stored comparison was computed by. The engine itself is on the mining side, beyond imports."""

from __future__ import annotations

# Raise it when the same inputs give other numbers, or more of them; what an older version stored is then mined again.
ENGINE_VERSION = "2"
