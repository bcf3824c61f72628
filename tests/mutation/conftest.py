"""What needs Cosmic Ray is collected where it is installed: it belongs to an extra of its own."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("cosmic_ray") else ["test_mutation_mutants.py"]
