"""A job to feed a driver with, without a plan."""

from __future__ import annotations

from typing import Any

from hsl.planning.job import Identity, Inputs, Job
from hsl.training.configuration import Configuration

SET = {"dataset": "digits", "model": {"name": "mlp"}, "method": "set", "sparsity": 0.9}


def made_job(trial_id: str = "t", configuration: dict[str, Any] | None = None, **identity: Any) -> Job:
    """A job of a search that trains nothing real; `identity` replaces parts of its identity."""
    own: dict[str, Any] = {"seed": 0, "cell": "c", "regime": "clean", "stage": "search", **identity}
    made = Configuration.model_validate(configuration or SET)
    return Job(
        identity=Identity(trial_id=trial_id, configuration=made, **own), inputs=Inputs(checkpoint="nowhere")
    )
