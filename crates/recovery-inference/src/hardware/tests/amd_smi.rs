use super::*;
use crate::hardware::rows::check;

#[test]
fn a_bare_list() {
    let model = Some("AMD Instinct MI300X OAM");
    check(
        list,
        include_str!("../samples/amd_smi/mi300x.json"),
        &[(0, model, Some(196_592), Some("0000:05:00.0")), (1, model, Some(196_592), Some("0000:26:00.0"))],
    );
}

#[test]
fn a_list_under_gpu_data_after_a_warning() {
    check(
        list,
        include_str!("../samples/amd_smi/gpu_data.json"),
        &[
            (0, Some("Radeon RX 7900 XT"), Some(20464), Some("0000:03:00.0")),
            (1, Some("AMD Radeon Graphics"), Some(512), Some("0000:0d:00.0")),
        ],
    );
}

#[test]
fn an_older_release_with_figures_as_text() {
    check(
        list,
        include_str!("../samples/amd_smi/old.json"),
        &[(0, Some("Radeon PRO W7900"), Some(49136), Some("0000:83:00.0"))],
    );
}

#[test]
fn a_gpu_of_which_nothing_is_said() {
    check(
        list,
        r#"[{"gpu": 3}, {"vram": {"size": "N/A"}}]"#,
        &[(3, None, None, None), (1, None, None, None)],
    );
}

#[test]
fn what_is_no_list_is_an_error() {
    for output in
        ["", "{}", "[]", "[1, 2]", r#"{"gpu_data": {}}"#, r#"{"gpu_data": [{"#, "AMDSMI_STATUS_NOT_INIT"]
    {
        assert!(list(output).is_err(), "{output}");
    }
}
