"""What makes ``bidsapp/data/resources``, in a checkout; no part of the package."""
