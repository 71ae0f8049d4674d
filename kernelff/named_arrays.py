"""Arrays by name, as model files and checkpoints hold them: names of parts begin with the name of the whole."""


def under(prefix, arrays):
    """The arrays whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
