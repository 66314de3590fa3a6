"""The commands of the command line that have sub-commands or belong to the laboratory; a file each."""
