"""Prepared datasets, splits and batches: `corpus` reads, `splits` divides, `collator` pads, `miniature` invents."""
