"""The found network in the user's hands, without the config and the data of its run."""
