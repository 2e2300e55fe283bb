//! Shows what this machine has for language models, as far as the kernel tells:
//! `cargo run -p recovery-inference --example hardware`.

use std::path::Path;

use recovery_inference::hardware::{Source, gib, kernel, machine, merge};

fn main() {
    let machine = machine::look(Path::new("/"));
    println!("{} processors, {} GiB of memory", machine.cpu_cores, gib(machine.memory_mib));
    if let Some(free) = machine.disk_free_mib {
        println!("{} GiB free on the disk", gib(free));
    }
    let gpus = merge(&[(Source::Kernel, kernel::look(Path::new("/")))], &machine);
    if gpus.usable.is_empty() {
        println!("no GPU that a model could run on");
    }
    for gpu in gpus.usable {
        let memory = gpu.memory_mib.map_or("?".to_owned(), |memory| gib(memory.value).to_string());
        println!("GPU {}: {}, {memory} GiB", gpu.index, gpu.model.value);
    }
}
