"""Known physics that a model adds to: nuclear repulsion, dispersion."""
