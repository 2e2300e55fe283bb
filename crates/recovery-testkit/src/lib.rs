//! Strict stateful fakes of every port, the contract suite that fakes and real adapters pass, and real servers for tests.

pub mod servers;
