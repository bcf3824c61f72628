"""Clusters: the launcher's file, checked and for other clouds, and the watcher for machines that are taken away."""
