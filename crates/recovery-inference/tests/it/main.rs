//! What is found out about the machine that the tests run on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod machine;
