"""The store on disk: layout, columns, append-only parts, documents, leases, checkpoints. The ground of all rooms."""
