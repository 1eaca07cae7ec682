"""The scripts that people write today, as well as people usually write them. The engine is measured against them."""
