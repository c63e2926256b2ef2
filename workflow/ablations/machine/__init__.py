"""What a job runs on: device, precision, and other jobs beside it."""
