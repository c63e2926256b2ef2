"""What is asked: the settings of every row, the configuration and its checks, the messages."""
