//! What tests look at of the GPUs in a list.

use crate::hardware::{SeenGpu, Unreadable};

/// Its number, its name, its memory in MiB and its place on the bus.
pub(crate) type Row<'a> = (u32, Option<&'a str>, Option<u64>, Option<&'a str>);

/// Compares the GPUs that a parser finds in what a tool printed.
pub(crate) fn check(list: fn(&str) -> Result<Vec<SeenGpu>, Unreadable>, output: &str, expect: &[Row<'_>]) {
    let gpus = list(output).unwrap();
    let seen: Vec<Row<'_>> = gpus
        .iter()
        .map(|gpu| (gpu.index, gpu.model.as_deref(), gpu.memory_mib, gpu.pci.as_deref()))
        .collect();
    assert_eq!(seen, expect);
}
