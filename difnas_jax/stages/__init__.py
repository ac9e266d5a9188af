"""The stages of a run, one file each; they communicate through files only."""
