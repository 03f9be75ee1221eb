"""The processes of a run: who started them, how they meet, and what each sees of the others."""
