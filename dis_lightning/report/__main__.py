"""`python -m dis_lightning.report` is the command `dis-lightning report`."""

import sys

from dis_lightning.main import main

if __name__ == "__main__":
    main(["report", *sys.argv[1:]])
