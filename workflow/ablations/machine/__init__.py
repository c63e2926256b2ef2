"""What a job runs on: device, precision, and other jobs on the same machine."""
