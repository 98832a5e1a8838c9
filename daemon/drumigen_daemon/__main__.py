"""Where ``drumigen`` begins: an interrupt is no traceback, not even while modules are loaded."""

import os
import sys

EXIT_INTERRUPTED = 130


def open_what_is_closed() -> None:
    """Have standard input, output and error lead nowhere where they are closed.

    Otherwise the next files or sockets that we open would take their numbers, and whoever writes
    an error writes it there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    # Python has none where it found them closed
    sys.stdin = sys.stdin or open(0, encoding="utf-8")  # noqa: SIM115 - a descriptor
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8")  # noqa: SIM115


def main() -> int:
    """Carry out one command; return its exit status."""
    open_what_is_closed()
    try:
        from drumigen_daemon import cli  # noqa: PLC0415 - it takes a while

        return cli.main()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
