"""Long measurements, apart from the tests; `python -m benchmarks` lists them."""
