"""One run: its schedule, the hidden states, the loop, saving and resuming, what a job needs."""
