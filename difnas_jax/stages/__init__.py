"""The stages of a run, one file each; they talk through files only."""
