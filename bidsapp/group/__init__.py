"""Group level: tables and a page over every scan, from derivatives alone."""
