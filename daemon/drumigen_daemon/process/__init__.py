"""What every process of ours needs: children, channels, supervision, realtime."""
