"""Commands of `hsl`, registered by `hsl.cli`."""
