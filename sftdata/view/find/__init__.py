"""Any row and sample found again: the samples of a dataset, its ledger, texts of rows, what differs between two."""
