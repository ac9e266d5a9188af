"""The report of a run: pictures and the page."""
