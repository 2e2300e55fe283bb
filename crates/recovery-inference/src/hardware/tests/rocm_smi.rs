use super::*;
use crate::hardware::rows::check;

#[test]
fn one_gpu_with_numbers_as_text() {
    check(
        list,
        include_str!("../samples/rocm_smi/rx_7900_xtx.json"),
        &[(0, Some("Radeon RX 7900 XTX"), Some(24560), Some("0000:03:00.0"))],
    );
}

#[test]
fn an_older_release_after_warnings_with_a_gpu_in_the_processor() {
    check(
        list,
        include_str!("../samples/rocm_smi/old_with_warnings.json"),
        &[
            (0, Some("Vega 20 [Radeon VII]"), Some(16368), Some("0000:03:00.0")),
            (1, None, Some(512), Some("0000:0e:00.0")),
        ],
    );
}

#[test]
fn a_newer_release_with_other_names_and_plain_numbers() {
    check(
        list,
        include_str!("../samples/rocm_smi/device_name.json"),
        &[(0, Some("AMD Instinct MI300X"), Some(196_592), Some("0000:1b:00.0"))],
    );
}

#[test]
fn what_is_no_list_is_an_error() {
    let long = "WARNING: AMD GPU is asleep\n".repeat(400_000);
    for output in [
        "",
        "WARNING: No AMD GPUs specified\n",
        "{}",
        "[]",
        r#"{"system": {}}"#,
        r#"{"card0": "x"}"#,
        r#"{"card0": {"#,
        &long,
    ] {
        assert!(list(output).is_err());
    }
}
