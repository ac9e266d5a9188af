"""The report of a run: figures and the page."""
