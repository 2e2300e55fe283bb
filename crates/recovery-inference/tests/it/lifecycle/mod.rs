//! Servers that are changed under load, on a clock of their own.

mod changes;
mod choices;
mod drain;
mod fourth;
mod owner;
mod pull;
mod redis;
mod routing;
mod sickness;
mod world;
