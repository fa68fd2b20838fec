"""One file per admission plugin; `chain` lists them."""
