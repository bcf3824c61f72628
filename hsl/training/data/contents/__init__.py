"""Content of a data set: which samples it has, and what tells that they may have changed."""
