//! One-pass byte lexer for MySQL and MariaDB statements: class and digest.
