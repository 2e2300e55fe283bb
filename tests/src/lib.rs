//! The end-to-end tests live in `e2e/`: the real binary against real servers, as an operator and the Dashboard use it.
