"""The built-in bars of each style, and how they were made."""
