use recovery_core::port::ExecOutput;
use recovery_testkit::{EngineContainer, EnginePoint, FakeEngine, FakeRunner, MemoryKeyValue, exits};

use super::*;

const TWO: &str = "0, 37, 20480, 24576, 61, 210.55, NVIDIA GeForce RTX 3090\n1, 63, 4096, 24576, 70, [N/A], NVIDIA GeForce RTX 3090\n";

fn printed(stdout: &str) -> ExecOutput {
    ExecOutput { exit_code: 0, stdout: stdout.into(), stderr: vec![], truncated: false }
}

fn tool(
    stdout: &'static str,
) -> impl Fn(&recovery_core::port::Command) -> recovery_core::port::CommandOutput {
    move |_| recovery_core::port::CommandOutput { stdout: stdout.into(), ..exits(0, "") }
}

/// How busy, memory in use and in all, temperature, power.
type Row = (Option<f64>, Option<u64>, Option<u64>, Option<f64>, Option<f64>);

struct World {
    engine: FakeEngine,
    runner: FakeRunner,
    settings: MemoryKeyValue,
    reader: GpuReader,
}

/// A machine without tools and containers.
fn world() -> World {
    let (engine, runner, settings) = (FakeEngine::new(), FakeRunner::new(), MemoryKeyValue::new());
    let tools = Tools::new(Arc::new(runner.clone()), &["/usr/bin".into()]);
    let containers = Arc::new(engine.clone());
    let reader = GpuReader::new(tools, containers.clone(), containers, Arc::new(settings.clone()));
    World { engine, runner, settings, reader }
}

#[test]
fn figures_are_per_gpu_and_in_sum() {
    let stats = GpuStats { gpus: parse::nvidia_smi(TWO) };
    assert_eq!(stats.utilization_pct(), Some(50.0));
    assert_eq!((stats.memory_used_mib(), stats.memory_total_mib()), (Some(24576), Some(49152)));
    assert_eq!((stats.temperature_c(), stats.power_draw_w()), (Some(70.0), Some(210.55)));
    assert_eq!(stats.gpus[1].power_draw_w, None, "what is not supported is null, never 0");
}

#[test]
fn what_nvidia_smi_cannot_say_is_null() {
    let check = |line: &str, expect: Row| {
        let gpus = parse::nvidia_smi(line);
        let gpu = &gpus[0];
        let seen = (
            gpu.utilization_pct,
            gpu.memory_used_mib,
            gpu.memory_total_mib,
            gpu.temperature_c,
            gpu.power_draw_w,
        );
        assert_eq!(seen, expect, "{line}");
    };
    check("0, [N/A], [N/A], [N/A], 52, 18.24, NVIDIA GB10", (None, None, None, Some(52.0), Some(18.24)));
    check(
        "0, [Not Supported], 311, 2002, 44, [Not Supported], GeForce GTX 660",
        (None, Some(311), Some(2002), Some(44.0), None),
    );
    check("0, 7, 1024, 24576, 40, 31,5, L4", (Some(7.0), Some(1024), Some(24576), Some(40.0), Some(31.5)));
    check("0, 700, -1, 0, x, -3, L4", (None, None, None, None, None));
    assert!(parse::nvidia_smi("No devices were found\n").is_empty());
    assert!(parse::nvidia_smi(&"0, 1, 2\n".repeat(100_000)).is_empty());
}

#[test]
fn the_tools_of_amd_in_their_variants() {
    let metric = r#"[{"gpu": 0, "usage": {"gfx_activity": {"value": 12, "unit": "%"}, "umc_activity": "N/A"},
        "power": {"socket_power": {"value": 87, "unit": "W"}},
        "temperature": {"edge": "N/A", "hotspot": {"value": 55, "unit": "C"}},
        "mem_usage": {"total_vram": {"value": 24560, "unit": "MB"}, "used_vram": {"value": 312, "unit": "MB"}}}]"#;
    for output in [metric.to_owned(), format!("WARNING: no group\n{{\"gpu_data\": {metric}}}")] {
        let gpu = parse::amd_smi(&output).remove(0);
        assert_eq!(
            (gpu.utilization_pct, gpu.power_draw_w, gpu.temperature_c),
            (Some(12.0), Some(87.0), Some(55.0))
        );
        assert_eq!((gpu.memory_used_mib, gpu.memory_total_mib), (Some(312), Some(24560)));
    }
    let rocm = r#"WARNING: AMD GPU device(s) is/are in a low-power state.
{"card0": {"GPU use (%)": "3", "Temperature (Sensor edge) (C)": "45.0", "Average Graphics Package Power (W)": "N/A",
 "Current Socket Graphics Package Power (W)": "20.5", "VRAM Total Memory (B)": "25753026560",
 "VRAM Total Used Memory (B)": "328097792", "Card Series": "Radeon RX 7900 XTX"}}"#;
    let gpu = parse::rocm_smi(rocm).remove(0);
    assert_eq!(
        (gpu.utilization_pct, gpu.power_draw_w, gpu.temperature_c),
        (Some(3.0), Some(20.5), Some(45.0))
    );
    assert_eq!((gpu.memory_used_mib, gpu.memory_total_mib), (Some(313), Some(24560)));
    assert!(parse::amd_smi("[{\"gpu\": 0}]").is_empty() && parse::rocm_smi("{\"card0\": {}}").is_empty());
}

#[tokio::test]
async fn the_container_that_runs_is_asked_first() {
    let world = world();
    world.runner.install("nvidia-smi", tool("0, 1, 1, 1, 1, 1, here\n"));
    world.engine.add(EngineContainer::of("postgres"));
    world.engine.add(EngineContainer::of("ollama").program(|exec| {
        assert_eq!(exec.command[0], "nvidia-smi");
        assert!(exec.timeout <= Duration::from_secs(3));
        printed(TWO)
    }));
    world.engine.look().await.unwrap();
    assert_eq!(world.reader.read().await.unwrap().gpus.len(), 2);
    assert!(world.runner.calls().is_empty());
}

#[tokio::test]
async fn of_several_that_run_the_active_one_is_asked() {
    for (setting, expect) in [
        (Some("ollama"), "ollama"),
        (Some("\"sglang\""), "nova-sglang"),
        (Some("vllm"), "nova-vllm"),
        // None of these: any that runs.
        (Some("custom"), "nova-vllm"),
        (Some("{"), "nova-vllm"),
        (None, "nova-vllm"),
    ] {
        let world = world();
        for service in ["ollama", "nova-vllm", "nova-sglang"] {
            let printed = printed(&format!("0, 1, 1, 1, 1, 1, {service}\n"));
            world.engine.add(EngineContainer::of(service).program(move |_| printed.clone()));
        }
        world.engine.look().await.unwrap();
        if let Some(setting) = setting {
            world.settings.put(1, "nova:config:inference.backend", setting);
        }
        let asked = world.reader.read().await.unwrap();
        assert_eq!(asked.gpus[0].model.as_deref(), Some(expect), "{setting:?}");
    }
}

#[tokio::test]
async fn where_the_active_one_has_nothing_to_say_or_is_not_known_another_that_runs_is_asked() {
    let running = async |active: ExecOutput| {
        let world = world();
        world.engine.add(EngineContainer::of("ollama").program(move |_| active.clone()));
        world
            .engine
            .add(EngineContainer::of("nova-sglang").program(|_| printed("0, 1, 1, 1, 1, 1, other\n")));
        world.engine.look().await.unwrap();
        world.settings.put(1, "nova:config:inference.backend", "ollama");
        world
    };
    let world = running(ExecOutput { exit_code: 127, ..printed("not found") }).await;
    assert_eq!(world.reader.read().await.unwrap().gpus[0].model.as_deref(), Some("other"));
    let world = running(printed("0, 1, 1, 1, 1, 1, active\n")).await;
    world.settings.away();
    assert_eq!(world.reader.read().await.unwrap().gpus[0].model.as_deref(), Some("other"), "one of them");
}

#[tokio::test]
async fn a_container_without_the_tool_or_the_engine_away_is_passed_over() {
    let world = world();
    world.runner.install("nvidia-smi", tool("0, 1, 1, 1, 1, 1, here\n"));
    let missing =
        ExecOutput { exit_code: 127, stdout: b"not found".to_vec(), stderr: vec![], truncated: false };
    world.engine.add(EngineContainer::of("nova-vllm").program(move |_| missing.clone()));
    world.engine.look().await.unwrap();
    assert_eq!(world.reader.read().await.unwrap().gpus[0].model.as_deref(), Some("here"));
    let away = self::world();
    away.runner.install("rocm-smi", tool(r#"{"card0": {"GPU use (%)": "3"}}"#));
    away.engine.away();
    assert_eq!(away.reader.read().await.unwrap().utilization_pct(), Some(3.0));
}

#[tokio::test]
async fn without_anybody_to_ask_there_is_nothing() {
    let world = world();
    assert_eq!(world.reader.read().await, None);
    let asked = world.runner.calls().len();
    assert_eq!(world.reader.read().await, None);
    assert_eq!(world.runner.calls().len(), asked, "nor is anybody asked again within a second");
}

#[tokio::test]
async fn many_who_ask_at_once_get_one_answer() {
    let world = world();
    world.engine.add(EngineContainer::of("ollama").program(|_| printed(TWO)));
    world.engine.look().await.unwrap();
    let mut hold = world.engine.faults().hold_next(EnginePoint::Exec);
    let reader = Arc::new(world.reader);
    let readers: Vec<_> = (0..50)
        .map(|_| {
            let reader = Arc::clone(&reader);
            tokio::spawn(async move { reader.read().await })
        })
        .collect();
    hold.reached().await;
    // A second exec would fail.
    world.engine.faults().fail_next(EnginePoint::Exec, || EngineError::TimedOut { doing: "a second exec" });
    hold.release();
    for reader in readers {
        assert_eq!(reader.await.unwrap().unwrap().gpus.len(), 2);
    }
}

#[tokio::test]
async fn one_that_hangs_is_not_asked_again_at_once() {
    let world = world();
    world.runner.install("nvidia-smi", tool("0, 1, 1, 1, 1, 1, here\n"));
    world.engine.add(EngineContainer::of("ollama").program(|_| printed(TWO)));
    world.engine.look().await.unwrap();
    world.engine.faults().fail_next(EnginePoint::Exec, || EngineError::TimedOut { doing: "asking" });
    assert_eq!(world.reader.read().await, None);
    assert_eq!(world.reader.read().await, None, "the exec that was left may still run");
    let keep = world.reader.last.lock().await.as_ref().unwrap().keep;
    assert_eq!(keep, PAUSE);
}
