"""Training-free scores: one row each, measured at the initial values of a network."""

from difnas_jax.scoring.proxies import counts
from difnas_jax.scoring.proxies.activity import LINEAR_REGIONS, NWOT, SWAP
from difnas_jax.scoring.proxies.base import Column, Proxy
from difnas_jax.scoring.proxies.blockwise import BLOCKWISE
from difnas_jax.scoring.proxies.counts import Count
from difnas_jax.scoring.proxies.kernels import NTK
from difnas_jax.scoring.proxies.sensitivity import JACOV
from difnas_jax.scoring.proxies.weight_gradients import GRADSIGN, SYNFLOW, ZICO

PROXIES: dict[str, Proxy | Count] = {
    "costs": counts.COSTS,
    "structure": counts.STRUCTURE,
    "nwot": NWOT,
    "linear_regions": LINEAR_REGIONS,
    "swap": SWAP,
    "jacov": JACOV,
    "synflow": SYNFLOW,
    "zico": ZICO,
    "gradsign": GRADSIGN,
    "blockwise": BLOCKWISE,
    "ntk": NTK,
}
# Column -> what it is, and the row that makes it.
COLUMNS: dict[str, Column] = {
    name: column for proxy in PROXIES.values() for name, column in proxy.columns.items()
}
PROXY_OF: dict[str, str] = {
    column: name for name, proxy in PROXIES.items() for column in proxy.columns
}
