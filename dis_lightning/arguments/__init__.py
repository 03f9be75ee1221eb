"""From words and files to the parts of a run: what a configuration may say, its help, and what is said of mistakes."""
