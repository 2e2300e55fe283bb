//! Servers that are changed under load, on a clock of their own.

mod changes;
mod drain;
mod routing;
mod world;
