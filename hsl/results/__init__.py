"""What a sweep found: documented columns, an append-only store, statistics and answers. No torch, no Ray."""
