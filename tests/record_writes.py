"""As `sitecustomize.py` of a process, notes what Python writes below a folder.

Appends `<number of the process> <event> <path>` to the file `WRITES` for what is below
`WATCHED`.
"""

import os
import sys

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def note(event, arguments):
    opened = event == "open" and bool(arguments[2] & WRITING)
    if (opened or event in CHANGES) and str(arguments[0]).startswith(folder):
        os.write(log, f"{process} {event} {arguments[0]}\n".encode())


folder, process = os.environ["WATCHED"], os.environ["JAX_PROCESS_ID"]
log = os.open(os.environ["WRITES"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
sys.addaudithook(note)
