"""What a network says of images."""

import dataclasses
import functools

import numpy as np


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a network says of N images.

    Attributes:
      names: of all C classes, in the order of the labels.
      logits: float32[N, C].
    """

    names: tuple[str, ...]
    logits: np.ndarray

    def __len__(self) -> int:
        """N."""
        return len(self.logits)

    @property
    def labels(self) -> np.ndarray:
        """int64[N], the likeliest class of each; of equal ones the first."""
        return self.logits.argmax(-1)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the labels."""
        return tuple(self.names[label] for label in self.labels)

    @functools.cached_property
    def probabilities(self) -> np.ndarray:
        """float32[N, C] of all classes."""
        shares = np.exp(self.logits - self.logits.max(axis=-1, keepdims=True))
        return shares / shares.sum(axis=-1, keepdims=True)

    def top(self, count: int) -> list[dict[str, float]]:
        """For each image its likeliest classes with their probabilities, best first."""
        found = []
        for shares in self.probabilities:
            likeliest = np.argsort(-shares, kind="stable")[:count]
            found.append(
                {self.names[label]: float(shares[label]) for label in likeliest}
            )
        return found
