//! The adapters against real servers and a real file system.

mod admin;
