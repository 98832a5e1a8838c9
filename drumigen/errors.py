"""Every error that drumigen raises on purpose.

DrumigenError
├── SettingsError        a settings file, environment variable or flag is wrong
├── StyleNotFoundError   no style of that name
├── KitError             a kit map is wrong or missing
├── PatternError         a bar or a metre breaks a rule
├── MidiFileError        a Standard MIDI File cannot be read or written
├── OutputError          a file that was asked for cannot be written
├── SoundError           a sound file cannot be made
├── CorpusError          a folder to train on or to judge by cannot be used
├── ModelError           what is asked of the model, or a checkpoint of it, is wrong
│   ├── ModelLoadError   a checkpoint is missing, damaged, hostile or of another vocabulary
│   └── DeviceError      a GPU failed
│       └── DeviceFullError  it has no room
├── PortError            a MIDI port or backend cannot be used
├── ChannelClosedError   the process at the other end is gone
├── ServiceError         the system service cannot be installed, looked at or removed
└── ControlError         a live control was refused

Two more are the daemon's own: ``JobError`` (of ``drumigen_daemon.jobs``), and ``BusyError`` of its
web process, a ControlError.
"""

from drumigen.text import escaped_line


class DrumigenError(Exception):
    """Root of the tree; the message is one line and says what to do."""

    def __str__(self) -> str:
        """Return the message; names of files in it may hold anything, and stay on the line."""
        return escaped_line(super().__str__())


class SettingsError(DrumigenError):
    """Raised when a setting is missing, unknown, of the wrong type or out of range."""


class StyleNotFoundError(DrumigenError):
    """Raised when no style has that name or alias; the message names near matches."""


class KitError(DrumigenError):
    """Raised when a kit map cannot be found or read."""


class PatternError(DrumigenError):
    """Raised when a hit, bar or metre is outside what can be played."""


class MidiFileError(DrumigenError):
    """Raised when a Standard MIDI File cannot be read or written."""


class OutputError(DrumigenError):
    """Raised when a file that was asked for cannot be written."""


class SoundError(DrumigenError):
    """Raised when a sound file cannot be made from a MIDI file."""


class CorpusError(DrumigenError):
    """Raised when a folder of takes is missing, empty or not of the expected form."""


class ModelError(DrumigenError):
    """Raised when the model is asked for something impossible, or its numbers are no numbers."""


class ModelLoadError(ModelError):
    """Raised when a checkpoint cannot be used; the message says what to do."""


class DeviceError(ModelError):
    """Raised when a GPU fails, by its driver's or torch's word."""


class DeviceFullError(DeviceError):
    """Raised when a GPU has no room for the model or for what it is asked."""


class PortError(DrumigenError):
    """Raised when a MIDI port or backend cannot be opened or has gone away."""


class ChannelClosedError(DrumigenError):
    """Raised when the process at the other end of a channel has closed it or died."""


class ServiceError(DrumigenError):
    """Raised when the service manager cannot be found, or refuses."""


class ControlError(DrumigenError):
    """Raised when a live control is unknown or its value is out of range."""
