"""Where ``drumigen`` begins: an interrupt is no traceback, not even while modules are loaded."""

import sys

EXIT_INTERRUPTED = 130


def main() -> int:
    """Carry out one command; return its exit status."""
    try:
        from drumigen_daemon import cli  # noqa: PLC0415 - it takes a while

        return cli.main()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
