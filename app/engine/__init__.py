"""Makes it happen: gathers from remotes, lets the core decide, applies to the store and to remotes."""
