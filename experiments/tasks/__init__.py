"""One task a file; its configuration and command line are in the script of the same name one folder up."""
