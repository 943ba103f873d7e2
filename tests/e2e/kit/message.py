"""Messages of SSH (RFC 4251 section 5) that paramiko has no call for, or that nobody should send."""
import paramiko


def message(number, *fields):
    """Its number, then its fields: a bool is a byte, an int a uint32, text and bytes are strings."""
    made = paramiko.Message()
    made.add_byte(bytes([number]))
    for field in fields:
        if isinstance(field, bool):
            made.add_boolean(field)
        elif isinstance(field, int):
            made.add_int(field)
        else:
            made.add_string(field)
    return made


def send(transport, number, *fields):
    """At once, whatever the connection is in the middle of."""
    transport._send_message(message(number, *fields))
