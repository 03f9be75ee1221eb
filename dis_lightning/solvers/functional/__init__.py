"""What several solvers share and no base class is for: linear systems, particles, spectra, what lies near `y`."""
