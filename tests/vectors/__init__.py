"""Published examples and test vectors: of the RFCs, in JSON files that name their source, and of Wycheproof."""
