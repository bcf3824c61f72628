"""Everything that imports ray.tune: Tuner, searcher, scheduler, callbacks, trainable."""
