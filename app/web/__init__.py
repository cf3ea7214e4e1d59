"""The admin API: reads the store, has the engine act, puts jobs. It speaks to no remote by itself."""
