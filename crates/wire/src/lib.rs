//! Sans-IO MySQL and MariaDB protocol, both sides: frames, handshake, authentication, commands, responses.
