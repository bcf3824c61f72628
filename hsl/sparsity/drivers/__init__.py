"""Drivers: one per moment. They decide when masks change and compute the new ones; the engine calls them."""
