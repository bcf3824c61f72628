"""Claims of the paper as statements about trials, and their verdicts from a store."""

from hsl.results.claims.claim import Claim, Statement
from hsl.results.claims.paper import CLAIMS
from hsl.results.claims.verdicts import evaluate

__all__ = ["CLAIMS", "Claim", "Statement", "evaluate"]
