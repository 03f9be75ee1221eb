"""Priors in closed form: posterior mean, posterior and consistency map are exact."""
