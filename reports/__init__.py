"""What came out of a run: its record, the ledger of known deviations, and how both are told."""
