"""How fast, how large, and how it grows; each figure beside its floor, measured in the same run."""
