"""`monitorctl import`: sources in the forms of other programs, and what becomes of them."""
