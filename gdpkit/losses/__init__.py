"""Quality losses: what speaks against a picture whatever was observed. One component a file, each citing its source."""
