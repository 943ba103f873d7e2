"""The test bench: starts the real programs in temporary folders on free ports, waits for events instead of sleeping, ends
what it started by process id, and reads what they left behind for crashes and sanitizer reports."""
