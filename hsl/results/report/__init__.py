"""The report of a store: the data of every figure as plain values first, drawings and HTML made of them second."""
