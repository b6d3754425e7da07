//! Real MariaDB and MySQL servers in a private directory, for the demo and the tests.
