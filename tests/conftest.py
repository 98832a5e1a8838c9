"""What holds for all tests."""

import os

# many daemons run here, some at once: the panel's port is opened by those that name it
os.environ.setdefault("DRUMIGEN_WEB_PORT", "0")
