"""The report of a run: figures and the page.

Figures are drawn to files by Agg, whatever backend the process has: pyplot and its
global state are never touched.
"""

import contextlib
import os
import sys

if "matplotlib" not in sys.modules:
    # Notebooks name their own backend in the environment of every process they start.
    # Where it is not installed, as in another virtual environment, matplotlib refuses
    # to be imported; so it is told the backend afterwards.
    backend = os.environ.pop("MPLBACKEND", "")
    import matplotlib

    if backend:
        os.environ["MPLBACKEND"] = backend
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = backend
