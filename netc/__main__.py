"""`python -m netc` is the command `netc`."""

from netc.cli import command

if __name__ == "__main__":
    command()
