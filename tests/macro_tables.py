"""Tables in the form of NAS-Bench-Macro, with random accuracies."""

import json


def write_table(path, names, rng):
    accuracies = rng.uniform(80, 95, len(names)).tolist()
    entries = {n: {"mean_acc": a} for n, a in zip(names, accuracies, strict=True)}
    path.write_text(json.dumps(entries))
    return path


def some_names(rng, count=60):
    digits = rng.integers(0, 3, size=(count, 8))
    return sorted({"".join(map(str, row)) for row in digits})
