"""One trial on a worker or in this process: run, log, watchdog, evaluation."""
