"""The trainable that Ray Tune runs on a worker: one job after the other."""

import traceback
from dataclasses import replace
from typing import Any

import ray
import torch
from ray import tune

from hsl.errors import HslError
from hsl.planning.job import Job
from hsl.provenance import redact_known
from hsl.reasons import CPU_ALLOCATOR, out_of_memory
from hsl.store.outcomes import Status
from hsl.training.allocator import keep_freed_memory
from hsl.training.build import default_device
from hsl.trial.log import TrialLog
from hsl.trial.report import Report
from hsl.trial.run import TrialRun
from hsl.trial.watchdog import watchdog


class SweepTrial(tune.Trainable):
    """A worker that trains one job after the other; a job that fails is a result, never the end of the worker."""

    def setup(self, config: dict[str, Any]) -> None:
        """Prepare the worker; called by Ray with the first job."""
        resources = self.trial_resources.required_resources if self.trial_resources else {}
        keep_freed_memory()
        torch.set_num_threads(max(1, int(resources.get("CPU", 1))))
        self._node = ray.get_runtime_context().get_node_id()
        self._log = TrialLog()
        self._is_over = True
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin a job; called by Ray with every further one."""
        self.cleanup()
        self._job = Job.model_validate_json(new_config["job"])
        self._run: TrialRun | None = None
        self._log, self._is_over = TrialLog(self._job.reporting.log), False
        return True

    def cleanup(self) -> None:
        """Close the log of a job that the sweep has ended; called by Ray when this worker gets no further one."""
        if not self._is_over:
            self._log.note("the sweep ended it: early stopping, a budget that is spent, or an interruption")
            self._log.write()

    def step(self) -> dict[str, Any]:
        """Train a while and report, with the id of the node."""
        report = replace(self._advance(), node=self._node)
        return {"report": report, "done": report.is_last}

    def _advance(self) -> Report:
        try:
            with self._log.capture(), watchdog(self._job.reporting.timeout):
                if self._run is None:
                    self._run = TrialRun(self._job, default_device(), self._log)
                report = self._run.advance()
        except Exception as error:  # noqa: BLE001  no error of a trial may end the sweep
            report = Report(status=Status.FAILED, reason=reason_of(error))
        if report.is_last:
            self._is_over = True
            self._log.note(f"{report.status}{': ' + report.reason if report.reason else ''}")
            self._log.write()
        return report


def reason_of(error: Exception) -> str:
    """One line for a mistake or a known condition; the traceback for anything else. Without credentials."""
    if isinstance(error, HslError):
        return redact_known(str(error))
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or CPU_ALLOCATOR in str(error):
        return out_of_memory(error)
    return redact_known("".join(traceback.format_exception(error)))
