"""`python -m dis_lightning` is the command `dis-lightning`."""

from dis_lightning.main import main

if __name__ == "__main__":
    main()
