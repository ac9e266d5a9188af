"""What surrounds a run: files, checkpoints, devices, processes and the command line."""
