"""Data sets: found, downloaded, decoded, cached, cut into batches, and made into a regime's sets."""
