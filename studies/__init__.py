"""Studies: what the papers claim, measured on exact priors and on rooms.

They are no part of the package: each is a command, `python -m studies.NAME`, from the project's folder.
"""
