"""What a newcomer does first, as scripts for an empty folder; tests/experiments/test_journeys.py runs them."""
