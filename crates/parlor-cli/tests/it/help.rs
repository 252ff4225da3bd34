//! What `--help` and `--version` print. To renew a text:
//! `COLUMNS=100 parlor serve --help > crates/parlor-cli/tests/it/help/serve.txt`.

use crate::process::parlor;

#[track_caller]
fn prints(arguments: &[&str], expected: &str) {
    let output = parlor(arguments)
        .env("COLUMNS", "100")
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    assert!(output.stderr.is_empty());
}

#[test]
fn version() {
    prints(
        &["--version"],
        concat!("parlor ", env!("CARGO_PKG_VERSION"), "\n"),
    );
}

#[test]
fn help() {
    prints(&["--help"], include_str!("help/parlor.txt"));
    prints(&["serve", "--help"], include_str!("help/serve.txt"));
    prints(&["config", "--help"], include_str!("help/config.txt"));
    prints(&["tap", "--help"], include_str!("help/tap.txt"));
    prints(&["publish", "--help"], include_str!("help/publish.txt"));
    prints(&["bench", "--help"], include_str!("help/bench.txt"));
    prints(
        &["bench", "fanout", "--help"],
        include_str!("help/bench-fanout.txt"),
    );
    prints(
        &["bench", "sse", "--help"],
        include_str!("help/bench-sse.txt"),
    );
    prints(
        &["bench", "echo", "--help"],
        include_str!("help/bench-echo.txt"),
    );
    prints(
        &["bench", "idle", "--help"],
        include_str!("help/bench-idle.txt"),
    );
    prints(
        &["bench", "churn", "--help"],
        include_str!("help/bench-churn.txt"),
    );
    prints(
        &["bench", "reconnect", "--help"],
        include_str!("help/bench-reconnect.txt"),
    );
}

#[test]
fn nothing_at_all_prints_the_help_as_a_complaint() {
    let output = parlor(&[])
        .env("COLUMNS", "100")
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        include_str!("help/parlor.txt")
    );
}
