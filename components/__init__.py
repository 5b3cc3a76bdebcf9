"""ComponentResources, one concern a file. They ask the stage table for placements and never compare numbers."""
