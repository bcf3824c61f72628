"""Claims of the paper as statements about trials, and what a store says about them."""

from hsl.results.claims.claim import Claim, Statement
from hsl.results.claims.paper import CLAIMS
from hsl.results.claims.verdicts import evaluate

__all__ = ["CLAIMS", "Claim", "Statement", "evaluate"]
