//! What the GPUs do now: asked of `nvidia-smi` inside the container of the active inference server, or of another one
//! that runs, or else here, or else of AMD's tools. One question at a time, whose answer everybody gets who asks within
//! a second.

mod parse;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use recovery_core::{
    container::Container,
    port::{ContainerEngine, EngineError, Exec, GpuEngine, KeyValue},
};
use tokio::sync::Mutex;

use crate::{Backend, lifecycle::routing, tools::Tools};

pub use parse::GpuFigures;

/// How long an answer is given to everybody.
const FRESH: Duration = Duration::from_secs(1);
/// How long nobody is asked after one did not answer: its program may hang, and the next one would, too.
const PAUSE: Duration = Duration::from_secs(15);
/// How long an answer is waited for.
const LIMIT: Duration = Duration::from_secs(3);
/// How long it is waited for which of several servers is the active one.
const CHOICE_LIMIT: Duration = Duration::from_millis(300);

/// What the GPUs do.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuStats {
    /// Each of them.
    pub gpus: Vec<GpuFigures>,
}

impl GpuStats {
    /// How busy they are on average, in hundredths.
    #[must_use]
    pub fn utilization_pct(&self) -> Option<f64> {
        let known: Vec<f64> = self.gpus.iter().filter_map(|gpu| gpu.utilization_pct).collect();
        let count = u32::try_from(known.len()).ok().filter(|&count| count > 0)?;
        Some(known.iter().sum::<f64>() / f64::from(count))
    }

    /// The memory in use on all of them, in MiB.
    #[must_use]
    pub fn memory_used_mib(&self) -> Option<u64> {
        self.gpus.iter().filter_map(|gpu| gpu.memory_used_mib).reduce(u64::saturating_add)
    }

    /// The memory of all of them, in MiB.
    #[must_use]
    pub fn memory_total_mib(&self) -> Option<u64> {
        self.gpus.iter().filter_map(|gpu| gpu.memory_total_mib).reduce(u64::saturating_add)
    }

    /// The temperature of the hottest, in °C.
    #[must_use]
    pub fn temperature_c(&self) -> Option<f64> {
        self.gpus.iter().filter_map(|gpu| gpu.temperature_c).reduce(f64::max)
    }

    /// What all of them draw, in watts.
    #[must_use]
    pub fn power_draw_w(&self) -> Option<f64> {
        self.gpus.iter().filter_map(|gpu| gpu.power_draw_w).reduce(|sum, watts| sum + watts)
    }
}

/// Asks the GPUs what they do.
pub struct GpuReader {
    tools: Tools,
    exec: Arc<dyn GpuEngine>,
    containers: Arc<dyn ContainerEngine>,
    settings: Arc<dyn KeyValue>,
    last: Mutex<Option<Last>>,
}

struct Last {
    at: Instant,
    keep: Duration,
    stats: Option<Arc<GpuStats>>,
}

impl GpuReader {
    /// Asks over these; `settings` holds those of the gateway, which say which server is the active one.
    #[must_use]
    pub fn new(
        tools: Tools,
        exec: Arc<dyn GpuEngine>,
        containers: Arc<dyn ContainerEngine>,
        settings: Arc<dyn KeyValue>,
    ) -> Self {
        Self { tools, exec, containers, settings, last: Mutex::default() }
    }

    /// What the GPUs do; `None` where there is none to ask. Takes three seconds at most. Whoever may give up waiting
    /// lets it run to its end: a command in a container goes on anyway, and the next caller would start another.
    pub async fn read(&self) -> Option<Arc<GpuStats>> {
        let mut last = self.last.lock().await;
        if let Some(last) = last.as_ref().filter(|last| last.at.elapsed() < last.keep) {
            return last.stats.clone();
        }
        let asked = tokio::time::timeout(LIMIT, self.ask()).await;
        let (stats, keep) = match asked {
            Ok(Answer::Stats(stats)) => (Some(Arc::new(stats)), FRESH),
            Ok(Answer::Nobody) => (None, FRESH),
            Ok(Answer::Hangs) | Err(_) => (None, PAUSE),
        };
        *last = Some(Last { at: Instant::now(), keep, stats: stats.clone() });
        stats
    }

    async fn ask(&self) -> Answer {
        match self.in_containers().await {
            Answer::Nobody => {}
            answer => return answer,
        }
        let nvidia = self.tools.run("nvidia-smi", &parse::NVIDIA_SMI, LIMIT).await;
        if let Some(gpus) =
            nvidia.ok().map(|printed| parse::nvidia_smi(&printed.text)).filter(|gpus| !gpus.is_empty())
        {
            return Answer::Stats(GpuStats { gpus });
        }
        let amd = self.tools.run("amd-smi", &parse::AMD_SMI, LIMIT).await;
        if let Some(gpus) =
            amd.ok().map(|printed| parse::amd_smi(&printed.text)).filter(|gpus| !gpus.is_empty())
        {
            return Answer::Stats(GpuStats { gpus });
        }
        let rocm = self.tools.run("rocm-smi", &parse::ROCM_SMI, LIMIT).await;
        if let Some(gpus) =
            rocm.ok().map(|printed| parse::rocm_smi(&printed.text)).filter(|gpus| !gpus.is_empty())
        {
            return Answer::Stats(GpuStats { gpus });
        }
        Answer::Nobody
    }

    /// Asks in the inference containers that run, that of the active server first.
    async fn in_containers(&self) -> Answer {
        let snapshot = self.containers.snapshot();
        let of = |backend: Backend| {
            let mut all = snapshot.containers().iter();
            all.find(|container| container.service().as_str() == backend.service() && container.is_up())
        };
        let mut running: Vec<(Backend, &Container)> = [Backend::Vllm, Backend::Sglang, Backend::Ollama]
            .into_iter()
            .filter_map(|backend| Some((backend, of(backend)?)))
            .collect();
        // While one takes the place of another both run, and one may run that nobody uses.
        if running.len() > 1 {
            let active = self.active().await;
            running.sort_by_key(|(backend, _)| Some(*backend) != active);
        }
        for (_, container) in running {
            match self.in_container(container).await {
                // No such program in it, no GPU: another one may have them.
                Answer::Nobody => {}
                answer => return answer,
            }
        }
        Answer::Nobody
    }

    /// The active server, as the gateway's settings say it.
    async fn active(&self) -> Option<Backend> {
        let asked = self.settings.get(routing::DATABASE, routing::BACKEND);
        let value = tokio::time::timeout(CHOICE_LIMIT, asked).await.ok()?.ok()??;
        routing::meant(value).parse().ok()
    }

    async fn in_container(&self, container: &Container) -> Answer {
        let command = ["nvidia-smi"].into_iter().chain(parse::NVIDIA_SMI);
        let exec = Exec { timeout: LIMIT, ..Exec::new(command) };
        match self.exec.exec(&container.id, exec).await {
            Ok(output) if output.exit_code == 0 => {
                let gpus = parse::nvidia_smi(&String::from_utf8_lossy(&output.stdout));
                if gpus.is_empty() { Answer::Nobody } else { Answer::Stats(GpuStats { gpus }) }
            }
            Err(EngineError::TimedOut { .. }) => Answer::Hangs,
            // No such program in it, no GPU, no engine: others may know.
            Ok(_) | Err(_) => Answer::Nobody,
        }
    }
}

enum Answer {
    Stats(GpuStats),
    Nobody,
    Hangs,
}

#[cfg(test)]
mod tests;
