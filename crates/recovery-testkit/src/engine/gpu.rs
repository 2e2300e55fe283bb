//! The GPUs of a fake engine.

use async_trait::async_trait;
use recovery_core::{
    container::ContainerId,
    port::{ContainerEngine, EngineError, Exec, ExecOutput, GpuEngine, GpuRequest, Probe},
};

use super::{EnginePoint, FakeEngine};

type Program = std::sync::Arc<dyn Fn(&Probe) -> ExecOutput + Send + Sync>;

/// What the GPUs of a fake engine are.
#[derive(Clone, Default)]
pub(super) struct Gpus {
    info: Option<String>,
    program: Option<Program>,
    images: Vec<String>,
    probes: Vec<Probe>,
    /// For each container of a probe, whether nobody looks after it any more.
    left: Vec<bool>,
}

impl FakeEngine {
    /// Lets the engine say this of itself.
    pub fn says(&self, info: impl Into<String>) {
        self.change(|world| world.gpus.info = Some(info.into()));
    }

    /// Gives it an image.
    pub fn has_image(&self, image: impl Into<String>) {
        self.change(|world| world.gpus.images.push(image.into()));
    }

    /// Gives it GPUs: probes that ask for them do this.
    pub fn with_gpus(&self, program: impl Fn(&Probe) -> ExecOutput + Send + Sync + 'static) {
        self.change(|world| world.gpus.program = Some(std::sync::Arc::new(program)));
    }

    /// Leaves the container of a probe: of a crash, or of somebody who still looks after it.
    pub fn leaves_probe(&self, of_a_crash: bool) {
        self.change(|world| world.gpus.left.push(of_a_crash));
    }

    /// How many containers of probes there are.
    #[must_use]
    pub fn left_probes(&self) -> usize {
        self.world().gpus.left.len()
    }

    /// Every probe so far.
    #[must_use]
    pub fn probes(&self) -> Vec<Probe> {
        self.world().gpus.probes.clone()
    }
}

/// What a shell prints that is given one of the scripts of the contract.
fn shell(probe: &Probe) -> Option<ExecOutput> {
    let output = |exit_code, stdout: &str, stderr: &str| ExecOutput {
        exit_code,
        stdout: stdout.into(),
        stderr: stderr.into(),
        truncated: false,
    };
    let [sh, _, script] = probe.command.as_slice() else { return None };
    (sh == "sh").then_some(())?;
    Some(match script.as_str() {
        "seq 1000" => output(0, &(1..=1000).map(|n| format!("{n}\n")).collect::<String>(), ""),
        "true" => output(0, "", ""),
        _ => output(3, "out\n", "err\n"),
    })
}

#[async_trait]
impl GpuEngine for FakeEngine {
    async fn info(&self) -> Result<String, EngineError> {
        self.pass(EnginePoint::Info).await?;
        Ok(self.world().gpus.info.clone().unwrap_or_else(|| "{}".to_owned()))
    }

    async fn probe(&self, probe: Probe) -> Result<ExecOutput, EngineError> {
        const DOING: &str = "looking at the GPUs from a container";
        assert!(!probe.timeout.is_zero(), "a probe is given no time");
        assert!(!probe.command.is_empty(), "no command is to be run");
        self.pass(EnginePoint::Probe).await?;
        self.change(|world| world.gpus.left.retain(|left| !left));
        self.change(|world| world.gpus.probes.push(probe.clone()));
        let gpus = self.world().gpus.clone();
        let refused = |why: &str| EngineError::Refused { doing: DOING, source: why.to_owned().into() };
        if !gpus.images.contains(&probe.image) {
            return Err(refused("no such image"));
        }
        let mut output = match (probe.gpus, gpus.program) {
            (GpuRequest::None, _) if probe.command.iter().any(|word| word.starts_with("sleep ")) => {
                return Err(EngineError::TimedOut { doing: DOING });
            }
            (GpuRequest::None, _) => shell(&probe).ok_or_else(|| refused("no such program"))?,
            (_, Some(program)) => program(&probe),
            (_, None) => return Err(refused("could not select device driver")),
        };
        output.truncated |= output.stdout.len() > probe.max_output;
        output.stdout.truncate(probe.max_output);
        output.stderr.truncate(probe.max_output);
        Ok(output)
    }

    async fn remove_left_probes(&self) -> Result<(), EngineError> {
        self.pass(EnginePoint::Sweep).await?;
        self.change(|world| world.gpus.left.retain(|left| !left));
        Ok(())
    }

    async fn exec(&self, container: &ContainerId, command: Exec) -> Result<ExecOutput, EngineError> {
        ContainerEngine::exec(self, container, command).await
    }
}
