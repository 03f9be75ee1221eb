"""Studies: what the papers claim, measured on priors whose truth is known. Each is a function and a command."""
