"""The options of ``centipet``: one row for each, read by everything that deals with options."""
