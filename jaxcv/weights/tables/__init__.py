"""The tables of published weights, one for each source."""
