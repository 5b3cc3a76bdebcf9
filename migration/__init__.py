"""What a migration is, free of Pulumi: settings, stages, moves, planners and thin clients."""
