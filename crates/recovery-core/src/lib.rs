//! Domain types, operations and ports of Nova Recovery: no I/O, no async runtime, no framework.
