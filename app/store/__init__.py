"""The canonical store: the only SQL in the project. One commit, at the edge."""
