"""Finetuning ablations of GPT-2: data → tokens → model → training → statistics → output."""

import os
import sys

# Python looks for modules in the working directory and on PYTHONPATH before it looks among its own.
# In a program of this library they come last: a user's statistics.py or random.py is not the one
# that is meant here. (Nor is a pathlib.py: what is imported above, Python has imported before.)
if sys.argv[0] == "-m":
    users = {os.path.abspath(p) for p in ["", *os.environ.get("PYTHONPATH", "").split(os.pathsep)]}
    users.discard(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.path.sort(key=lambda folder: folder in users)
