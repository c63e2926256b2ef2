"""What is asked: the settings of every row, the configuration's door, messages to its user."""
