"""The command line in the process of the test."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys

import pytest

from hsl.cli import main
from hsl.registry import PLUGINS

Outcome = subprocess.CompletedProcess[str]


def command(*arguments: object) -> Outcome:
    """What ``hsl ARGUMENTS`` says; an error that is not the user's is raised."""
    given, out, err = [str(argument) for argument in arguments], io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["hsl", *given])
        patch.setenv(PLUGINS, os.environ.get(PLUGINS, "on"))  # the command line sets it; this takes it back
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    return Outcome(given, int(ended.value.code or 0), out.getvalue(), err.getvalue())
