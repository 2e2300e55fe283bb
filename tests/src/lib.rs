//! The end-to-end tests live in `e2e/`: the real binary against real servers, as an operator and the Dashboard use it.
//!
//! Servers of language models and the gateway before them are too large to run in a test. So here is a program that
//! stands in for them, `nova-stand-in` ([`stand_in`]), and the clients that keep them busy ([`load`]). None of it is
//! part of the product.

#![allow(clippy::indexing_slicing, reason = "of JSON: a field that is not there is null")]

pub mod load;
pub mod random;
pub mod stand_in;
