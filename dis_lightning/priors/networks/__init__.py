"""The raw networks behind trained priors, and how they compute on a GPU."""
