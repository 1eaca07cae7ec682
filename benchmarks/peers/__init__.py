"""The scripts that people write today, as well as they are usually written. The engine is measured against them."""
