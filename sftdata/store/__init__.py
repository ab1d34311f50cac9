"""What is written and how it is proven: packing, shards, the ledger, the manifest, and their verification."""
