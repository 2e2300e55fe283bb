//! What estimates are made of. What they come to is compared with published figures in `published`.

use super::*;

fn shape((layers, kv_heads, head_dim, max_context): (u32, u32, u32, u32)) -> Shape {
    Shape { layers, windowed: None, kv_heads, head_dim, max_context }
}

#[expect(clippy::cast_precision_loss, reason = "bytes of models")]
fn apart(estimated: u64, published: f64) -> f64 {
    (estimated as f64 - published).abs() / published
}

#[test]
fn files_of_which_only_the_parameters_are_known_are_within_15_percent_of_their_size() {
    let check = |count: u64, name: &str, bytes: u64| {
        let quantization = Quantization::of_name(name).unwrap_or(Quantization::Half);
        let weights = Weights::Parameters { count, quantization, guessed: false };
        let apart = apart(weights.bytes().0, bytes as f64);
        assert!(apart <= 0.15, "{name}: {weights:?} is {apart:.3} from {bytes}");
    };
    // The sizes of the files as their pages show them.
    check(8_030_261_248, "Llama-3.1-8B-Instruct", 16_060_522_496);
    check(8_030_261_248, "Meta-Llama-3.1-8B-Instruct-FP8", 9_081_000_000);
    check(70_553_706_496, "Meta-Llama-3.1-70B-Instruct-FP8", 72_660_000_000);
    check(8_030_261_248, "Meta-Llama-3.1-8B-Instruct-AWQ-INT4", 5_730_000_000);
    check(70_553_706_496, "Meta-Llama-3.1-70B-Instruct-GPTQ-INT4", 39_770_000_000);
    check(7_615_616_512, "Qwen2.5-7B-Instruct-AWQ", 5_570_986_496);
    check(72_706_203_648, "Qwen2.5-72B-Instruct-AWQ", 41_600_000_000);
    check(8_030_261_248, "Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", 4_920_739_232);
    check(8_030_261_248, "Meta-Llama-3.1-8B-Instruct-Q8_0.gguf", 8_540_771_232);
    check(8_030_261_248, "Meta-Llama-3.1-8B-Instruct-Q6_K.gguf", 6_596_006_304);
    check(8_030_261_248, "Meta-Llama-3.1-8B-Instruct-Q2_K.gguf", 3_179_131_296);
    check(3_821_079_552, "Phi-3-mini-4k-instruct-q4_k_m.gguf", 2_393_231_072);
}

#[test]
fn the_cache_is_that_of_the_layers_that_keep_the_whole_context() {
    let llama = shape((32, 8, 128, 131_072));
    assert_eq!(llama.kv_cache(1, 2), 128 * 1024, "128 KiB a token");
    assert_eq!(llama.kv_cache(1, 1), 64 * 1024, "half with numbers of one byte");
    // Gemma 3 4B: every sixth of 34 layers keeps all of it, the others 1,024 tokens.
    let gemma =
        Shape { layers: 5, windowed: Some((29, 1024)), kv_heads: 4, head_dim: 256, max_context: 131_072 };
    assert_eq!(gemma.kv_cache(1024, 2), 34 * 1024 * 4096);
    assert_eq!(gemma.kv_cache(65_536, 2), (5 * 65_536 + 29 * 1024) * 4096);
}

fn llama_8b() -> Model {
    let weights = Weights::Files { bytes: 16_060_522_496, parameters: Some(8_030_261_248) };
    Model { weights, shape: Some(shape((32, 8, 128, 131_072))) }
}

#[test]
fn parallel_requests_have_a_context_each_and_none_is_longer_than_the_model_s() {
    let how = Use::chat(Backend::Vllm);
    let one = estimate(&llama_8b(), how);
    let four = estimate(&llama_8b(), Use { parallel: 4, ..how });
    assert_eq!(four.kv_cache, 4 * one.kv_cache);
    assert_eq!((four.weights, four.overhead), (one.weights, one.overhead));
    let most = estimate(&llama_8b(), Use { context: u32::MAX, parallel: u32::MAX, ..how });
    assert_eq!(most.context, 131_072);
    assert!(most.total() > one.total());
}

#[test]
fn what_is_guessed_is_less_sure() {
    let certainty = |model: &Model| estimate(model, Use::chat(Backend::Vllm)).certainty;
    assert_eq!(certainty(&llama_8b()), Certainty::High);
    assert_eq!(certainty(&Model { shape: None, ..llama_8b() }), Certainty::Medium);
    let tensors = |dtype| Model { weights: Weights::Tensors([(dtype, 1_000_000)].into()), ..llama_8b() };
    assert_eq!(certainty(&tensors(Dtype::Two)), Certainty::High);
    assert_eq!(certainty(&tensors(Dtype::PackedFour)), Certainty::Medium);
    let named = |guessed| Model {
        weights: Weights::Parameters { count: 8_000_000_000, quantization: Quantization::Half, guessed },
        ..llama_8b()
    };
    assert_eq!((certainty(&named(false)), certainty(&named(true))), (Certainty::Medium, Certainty::Low));
}

#[test]
fn tensors_are_added_up_by_the_size_of_their_types() {
    let dtypes = ["F32", "BF16", "F16", "F8_E4M3", "I8", "I32", "I64", "f8_e5m2"];
    assert!(dtypes.iter().all(|name| Dtype::named(name).is_some()));
    assert_eq!(Dtype::named("COMPLEX"), None);
    // Qwen2.5-7B-Instruct-AWQ: packed numbers, and embeddings of two bytes.
    let tensors = Weights::Tensors([(Dtype::PackedFour, 820_000_000), (Dtype::Two, 1_150_000_000)].into());
    assert_eq!(tensors.bytes().0, 4 * 820_000_000 + 2 * 1_150_000_000);
    assert_eq!(tensors.parameters(), None, "packed numbers do not count parameters");
    let absurd = Weights::Tensors([(Dtype::Eight, u64::MAX), (Dtype::Two, u64::MAX)].into());
    assert_eq!(absurd.bytes().0, u64::MAX);
}

#[test]
fn a_model_fits_with_a_shorter_context_or_not_at_all() {
    let fit = |mib: u64, context: u32, utilization: f64| {
        let room = Room { utilization, ..Room::one_gpu(mib, Backend::Vllm) };
        Fit::of(&llama_8b(), Use { context, ..Use::chat(Backend::Vllm) }, room)
    };
    assert!(matches!(fit(24_564, 8192, 0.9), Fit::Fits { need } if need.context == 8192));
    let Fit::ShorterContext { need } = fit(24_564, 131_072, 0.9) else { panic!("it fits with less") };
    assert!((16_384..65_536).contains(&need.context), "{need:?}");
    assert!(need.total() <= 24_564 * MIB / 10 * 9);
    let one_more = estimate(&llama_8b(), Use { context: need.context + 256, ..Use::chat(Backend::Vllm) });
    assert!(one_more.total() > 24_564 * MIB / 10 * 9, "the longest that fits");
    assert!(matches!(fit(16_376, 8192, 0.9), Fit::DoesNotFit { room, .. } if room < 16 * GIB));
    assert!(matches!(fit(24_564, 8192, 0.5), Fit::DoesNotFit { .. }), "vLLM's setting counts");
    assert!(matches!(fit(24_564, 8192, f64::NAN), Fit::DoesNotFit { room: 0, .. }));
    assert!(matches!(fit(0, 8192, 0.9), Fit::DoesNotFit { .. }));
}

#[test]
fn a_large_model_fits_on_several_gpus() {
    let weights = Weights::Files { bytes: 141_107_412_992, parameters: None };
    let model = Model { weights, shape: Some(shape((80, 8, 128, 131_072))) };
    let fit = |gpus| {
        let room = Room { gpus, each_mib: 81_559, utilization: 0.9 };
        Fit::of(&model, Use::chat(Backend::Vllm), room).as_str()
    };
    assert_eq!([fit(1), fit(2), fit(4)], ["does_not_fit", "fits", "fits"]);
}
