"""Config files as modules: a name of their own, and the modules beside them."""

import contextlib
import os
import sys
import traceback
import types
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PREFIX = "difnas_jax_config_"


def execute(path: Path) -> Any:
    """Execute a config file as a module of its own.

    It is in `sys.modules`, where dataclasses look for the module of a class, under a
    name that no other file has; not if it fails. No bytecode is kept beside it.
    """
    name = f"{PREFIX}{zlib.crc32(os.fsencode(path.resolve())):08x}"
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        exec(compile(path.read_bytes(), path, "exec"), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextlib.contextmanager
def modules_beside(path: Path) -> Iterator[None]:
    """Let a config file import the modules of its folder, as a script may.

    Only while it is read, and another file is given those of its own folder.
    """
    folder, before = str(path.resolve().parent), {*sys.modules}
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the file may change it, too
            sys.path.remove(folder)
        for name in sys.modules.keys() - before:
            file = getattr(sys.modules[name], "__file__", None)
            beside = file is not None and str(Path(file).parent) == folder
            if beside and not name.startswith(PREFIX):  # that of the file itself
                del sys.modules[name]


def place_of(error: BaseException, path: Path) -> str:
    """The last line of the user's that an error went through: `'mine.py', line 3`."""
    folder, lines = path.resolve().parent, list[tuple[Path | str, int | None]]()
    lines.append((path, None))
    for frame in traceback.extract_tb(error.__traceback__):
        file = Path(frame.filename)
        if file.exists() and file.resolve().parent == folder:
            lines.append((file, frame.lineno))
    if isinstance(error, SyntaxError) and error.filename:
        lines.append((error.filename, error.lineno))
    file, line = lines[-1]
    return repr(str(file)) + (f", line {line}," if line else "")
