"""What has been played: kept, written to disk, rendered to sound."""
