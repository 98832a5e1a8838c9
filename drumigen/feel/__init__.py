"""Feel: how written bars become played ones."""
