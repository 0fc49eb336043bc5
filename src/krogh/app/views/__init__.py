"""Turn results into what the page draws: figures, sections, tables; nothing here knows the page."""
