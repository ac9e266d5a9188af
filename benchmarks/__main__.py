"""List the commands that measure something."""

COMMANDS = """Each command takes --help.

python -m benchmarks.speed      time, memory and traffic of training and search
python -m benchmarks.gpu        training on one GPU, also in PyTorch, in eight minutes
python -m benchmarks.evidence   how well methods rank the networks of benchmark tables
python -m benchmarks.evidence.searches  what they find, against random search
python -m benchmarks.disturbance  whether projected updates keep paths undisturbed
python -m benchmarks.isometry   singular values of blocks and fairness of gradients
python -m benchmarks.eigennas   minimum eigenvalues of the NTK, their bounds and ranking
python -m benchmarks.kills      runs that are killed, against an uninterrupted one
"""

if __name__ == "__main__":
    print(COMMANDS, end="")
