"""The commands of `correctly`, by the part of the platform they speak to; cli.py joins them into one program."""
