//! What `nvidia-smi` prints.

use super::{
    gpu::{GpuPart, MOST_GPUS, SeenGpu, Unreadable, Vendor, name, pci_address, unreadable},
    number::{number, whole},
};

/// The arguments that list the GPUs. Every driver since 2014 knows these fields.
pub const LIST: [&str; 2] =
    ["--query-gpu=index,uuid,pci.bus_id,memory.total,name", "--format=csv,noheader,nounits"];

/// The arguments that list the GPUs with the parts that they are divided into.
pub const PARTS: [&str; 1] = ["-L"];

/// The GPUs in what [`LIST`] prints, one a line. A line that is none (a warning of the driver, a part that cannot be
/// asked) is passed over.
///
/// A GPU that has no memory to tell of shares that of the system, as those of Grace and GB10 do.
///
/// # Errors
/// There is text, and no GPU in it.
pub fn list(output: &str) -> Result<Vec<SeenGpu>, Unreadable> {
    let gpus: Vec<SeenGpu> = output.lines().filter_map(gpu).take(MOST_GPUS).collect();
    let nothing = output.trim().is_empty() || output.trim().eq_ignore_ascii_case("no devices were found");
    if gpus.is_empty() && !nothing {
        return Err(unreadable("nvidia-smi printed something that is no list of GPUs"));
    }
    Ok(gpus)
}

fn gpu(line: &str) -> Option<SeenGpu> {
    // The name is last: it alone may hold a comma.
    let mut fields = line.splitn(5, ',').map(str::trim);
    let (index, uuid, pci, memory, model) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let index = index.parse().ok()?;
    let memory_mib = number(memory).and_then(whole).filter(|&mib| mib > 0);
    Some(SeenGpu {
        uuid: name(uuid),
        pci: pci_address(pci),
        model: name(model),
        unified: memory_mib.is_none() && says_not_supported(memory),
        memory_mib,
        ..SeenGpu::new(Vendor::Nvidia, index)
    })
}

/// Whether the GPU has no such figure, rather than one that may not be seen or could not be had.
fn says_not_supported(field: &str) -> bool {
    let field = field.trim_matches(['[', ']']);
    field.eq_ignore_ascii_case("n/a") || field.eq_ignore_ascii_case("not supported")
}

/// Adds the parts that [`PARTS`] prints to the GPUs that [`list`] found.
pub fn add_parts(gpus: &mut [SeenGpu], output: &str) {
    let mut at = None;
    for line in output.lines() {
        let trimmed = line.trim_start();
        if let Some(rest) = trimmed.strip_prefix("GPU ") {
            let index = rest.split(':').next().and_then(|index| index.trim().parse::<u32>().ok());
            at = gpus.iter().position(|gpu| Some(gpu.index) == index);
        } else if let Some(rest) = trimmed.strip_prefix("MIG ")
            && let Some(gpu) = at.and_then(|at| gpus.get_mut(at))
            && gpu.parts.len() < MOST_GPUS
            && let Some(profile) = rest.split_whitespace().next().and_then(name)
        {
            gpu.parts.push(GpuPart { memory_mib: memory_of(&profile), profile });
        }
    }
}

/// The memory of a part, which its kind says: `3g.20gb`, `1g.10gb+me`, `1c.3g.40gb`.
fn memory_of(profile: &str) -> Option<u64> {
    let part = profile.split(['.', '+']).find_map(|part| part.strip_suffix("gb"))?;
    part.parse::<u64>().ok().filter(|gb| (1..=1024).contains(gb)).map(|gb| gb * 1024)
}

#[cfg(test)]
#[path = "tests/nvidia_smi.rs"]
mod tests;
