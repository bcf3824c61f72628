"""What to try next in a cell: Optuna studies, grids, the order of cells."""
