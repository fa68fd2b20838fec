"""Everything under `/registry/`, kept in memory as encoded bytes and fed by one watch on the store."""
