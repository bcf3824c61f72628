"""Names of tensors in a checkpoint: the path through nested mappings, escaped as a JSON pointer (RFC 6901)."""

SEPARATOR = "/"


def escaped(key: str) -> str:
    """A key as one part of a name, without separator."""
    return key.replace("~", "~0").replace(SEPARATOR, "~1")


def unescaped(part: str) -> str:
    """The key that `escaped` was given."""
    return part.replace("~1", SEPARATOR).replace("~0", "~")
