//! Servers that are changed under load, on a clock of their own.

mod changes;
mod drain;
mod owner;
mod routing;
mod sickness;
mod world;
