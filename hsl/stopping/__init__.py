"""Early stopping: rules as pure seeded state, their settings, and the audit of their decisions."""
