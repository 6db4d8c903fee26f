"""BIDS in and out: names, dataset, PET metadata, plan, derivatives."""
