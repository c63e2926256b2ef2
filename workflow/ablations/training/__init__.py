"""One run: its schedule, the frozen layers' output, the loop, resuming, what a job needs."""
