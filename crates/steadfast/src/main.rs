//! The steadfast command line.
fn main() {}
