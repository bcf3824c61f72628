"""One sweep: stages, resumption, ledger, account, machines."""
