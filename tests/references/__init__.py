"""Known answers from other libraries, and the programs that made them."""
