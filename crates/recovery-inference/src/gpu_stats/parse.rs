//! What the tools print of what the GPUs do.

use serde_json::Value;

use crate::hardware::{
    amd_smi, json, name,
    number::{Unit, mebibytes, number, whole},
    rocm_smi,
};

pub(super) const NVIDIA_SMI: [&str; 2] = [
    "--query-gpu=index,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw,name",
    "--format=csv,noheader,nounits",
];
pub(super) const AMD_SMI: [&str; 6] =
    ["metric", "--usage", "--power", "--temperature", "--mem-usage", "--json"];
pub(super) const ROCM_SMI: [&str; 7] =
    ["--showproductname", "--showuse", "--showmeminfo", "vram", "--showtemp", "--showpower", "--json"];

const MOST_GPUS: usize = 256;

/// What one GPU does. What its tool does not say is `None`, never 0.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuFigures {
    /// Its number, as its tool counts.
    pub index: u32,
    /// What it is called.
    pub model: Option<String>,
    /// How busy it is, in hundredths.
    pub utilization_pct: Option<f64>,
    /// Its memory in use, in MiB.
    pub memory_used_mib: Option<u64>,
    /// Its memory, in MiB.
    pub memory_total_mib: Option<u64>,
    /// Its temperature in °C.
    pub temperature_c: Option<f64>,
    /// What it draws, in watts.
    pub power_draw_w: Option<f64>,
}

pub(super) fn nvidia_smi(output: &str) -> Vec<GpuFigures> {
    output.lines().filter_map(row).take(MOST_GPUS).collect()
}

fn row(line: &str) -> Option<GpuFigures> {
    // With the blank, since a comma may stand in a number.
    let mut fields = line.splitn(7, ", ").map(str::trim);
    let index = fields.next()?.parse().ok()?;
    let mut next = || fields.next();
    let (busy, used, total, temperature, power) = (next()?, next()?, next()?, next()?, next()?);
    Some(GpuFigures {
        index,
        utilization_pct: number(busy).filter(|pct| (0.0..=100.0).contains(pct)),
        memory_used_mib: number(used).and_then(whole),
        memory_total_mib: number(total).and_then(whole).filter(|&mib| mib > 0),
        temperature_c: number(temperature),
        power_draw_w: number(power).filter(|watts| *watts >= 0.0),
        model: next().and_then(name),
    })
}

pub(super) fn amd_smi(output: &str) -> Vec<GpuFigures> {
    let gpus = amd_smi::gpus(output).unwrap_or_default();
    let figures = |(index, gpu): (u32, Value)| {
        let at = |paths: &[&[&str]]| paths.iter().find_map(|path| json::at(&gpu, path));
        let first = |paths: &[&[&str]]| paths.iter().find_map(|path| number(&json::at(&gpu, path)?));
        GpuFigures {
            index,
            model: None,
            utilization_pct: first(&[&["usage", "gfx_activity"], &["usage", "gfx_usage"]]),
            memory_used_mib: at(&[&["mem_usage", "used_vram"], &["vram", "vram_used"]])
                .and_then(|text| mebibytes(&text, Unit::Mebibytes)),
            memory_total_mib: at(&[&["mem_usage", "total_vram"], &["vram", "vram_total"]])
                .and_then(|text| mebibytes(&text, Unit::Mebibytes)),
            temperature_c: first(&[
                &["temperature", "edge"],
                &["temperature", "hotspot"],
                &["temperature", "mem"],
            ]),
            power_draw_w: first(&[
                &["power", "socket_power"],
                &["power", "current_socket_power"],
                &["power", "average_socket_power"],
            ]),
        }
    };
    gpus.into_iter().map(figures).filter(GpuFigures::says_something).collect()
}

pub(super) fn rocm_smi(output: &str) -> Vec<GpuFigures> {
    let cards = rocm_smi::cards(output).unwrap_or_default();
    let figures = |(index, card): rocm_smi::Card| {
        let size = |names: &[&str]| json::field(&card, names).and_then(|text| mebibytes(&text, Unit::Bytes));
        let figure = |names: &[&str]| {
            // One that stands there without a value is no reason to pass over the next.
            names.iter().find_map(|name| number(&json::field(&card, &[*name])?))
        };
        GpuFigures {
            index,
            model: json::field(&card, &["card series", "device name"]).and_then(|text| name(&text)),
            utilization_pct: figure(&["gpu use (%)"]),
            memory_used_mib: size(&["vram total used memory (b)"]),
            memory_total_mib: size(&["vram total memory (b)"]),
            temperature_c: figure(&[
                "temperature (sensor edge) (c)",
                "temperature (sensor junction) (c)",
                "temperature (sensor memory) (c)",
            ]),
            power_draw_w: figure(&[
                "average graphics package power (w)",
                "current socket graphics package power (w)",
            ]),
        }
    };
    cards.into_iter().map(figures).filter(GpuFigures::says_something).collect()
}

impl GpuFigures {
    fn says_something(&self) -> bool {
        self.utilization_pct.is_some() || self.memory_used_mib.is_some() || self.temperature_c.is_some()
    }
}
