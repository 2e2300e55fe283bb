//! `nova-recovery`.
fn main() {}
