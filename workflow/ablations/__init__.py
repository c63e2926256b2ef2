"""Finetuning ablations of GPT-2: data → tokens → model → training → statistics → output."""

import os
import sys
from pathlib import Path

# Python looks for modules on PYTHONPATH before it looks among its own. In a program of this library
# they come last: a user's statistics.py or random.py is not the one that is meant here.
if sys.argv[0] == "-m":
    own = str(Path(__file__).parents[1])
    users = {each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each != own}
    sys.path.sort(key=lambda folder: folder in users)
