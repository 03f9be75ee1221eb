"""Studies: what the papers claim, measured on exact priors and on rooms. Each is a function and a command."""
